//! Declares routes, each with who may use it: there is no way to add one without saying so.

use std::convert::Infallible;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{self, MethodRouter};

use crate::app::AppState;
use crate::auth::scope::Scope;
use crate::http::access::{self, Template};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, as often as they like: what load balancers ask.
    Public,
    /// Anybody, within the limits of their address.
    Anyone,
    /// Anybody with a key of this server.
    AnyKey,
    /// Those whose key has this scope.
    Needs(Scope),
    /// Those whose key has the scope `read`; and, where `http.scrape_without_key` says so, programs on this machine.
    Scrape,
    /// Those whose key, which may also stand in the body, has the scope `ingest`. A session's cookie is no key here: any
    /// page may send to such a route, so nothing that a browser adds by itself may count.
    WriteKey,
}

impl Access {
    /// The scope a key needs.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Public | Self::Anyone | Self::AnyKey => None,
            Self::Needs(scope) => Some(scope),
            Self::Scrape => Some(Scope::Read),
            Self::WriteKey => Some(Scope::Ingest),
        }
    }
}

/// One declared route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The method; `None` for all of them.
    pub method: Option<Method>,
    /// The path, as the router matches it: `/queries/{id}`.
    pub path: String,
    /// Who may use it.
    pub access: Access,
}

/// Routes being declared.
#[derive(Debug)]
pub struct Routes {
    state: AppState,
    router: Router<AppState>,
    table: Vec<Route>,
}

impl Routes {
    /// None yet.
    pub fn new(state: AppState) -> Self {
        Self { state, router: Router::new(), table: Vec::new() }
    }

    /// `GET`, and `HEAD` with it.
    #[must_use]
    pub fn get<H, T>(self, path: &str, access: Access, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        self.add(Some(Method::GET), path, access, routing::get(handler))
    }

    /// `POST`.
    #[must_use]
    pub fn post<H, T>(self, path: &str, access: Access, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        self.add(Some(Method::POST), path, access, routing::post(handler))
    }

    /// `DELETE`.
    #[must_use]
    pub fn delete<H, T>(self, path: &str, access: Access, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        self.add(Some(Method::DELETE), path, access, routing::delete(handler))
    }

    /// Every method.
    #[must_use]
    pub fn any<H, T>(self, path: &str, access: Access, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        self.add(None, path, access, routing::any(handler))
    }

    fn add(
        mut self,
        method: Option<Method>,
        path: &str,
        access: Access,
        handler: MethodRouter<AppState, Infallible>,
    ) -> Self {
        let route = (self.state.clone(), access, Template(path.into()));
        let check = from_fn_with_state(route, access::check);
        // A handler of every method is what the framework calls a fallback; elsewhere that is the answer 405, for all.
        let guarded = if method.is_none() { handler.layer(check) } else { handler.route_layer(check) };
        self.router = self.router.route(path, guarded);
        self.table.push(Route { method, path: path.to_owned(), access });
        self
    }

    /// The router, and what was declared.
    pub fn finish(self) -> (Router<AppState>, Vec<Route>) {
        (self.router, self.table)
    }
}
