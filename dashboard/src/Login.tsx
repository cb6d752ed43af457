// A key becomes a session: a cookie that scripts cannot read. The key itself is kept nowhere. Where there is an OpenID
// provider the browser goes there instead, and comes back with the same kind of cookie.
import { useEffect, useRef, useState } from "react";

import { type PageConfig, Problem, send } from "./lib/api";
import { go, usePlace } from "./lib/route";
import { Wave } from "./ui/icons";
import { sentence } from "./ui/parts";

/** Why nobody came back signed in: the server's word for it, and ours. */
const FAILURES: Record<string, string> = {
  unreachable: "The sign-in service does not answer. Try again in a moment, or use a key.",
  expired: "This sign-in took too long, or was begun in another window. Try again.",
  refused: "The sign-in service did not let you in.",
  invalid: "The sign-in service's answer could not be trusted, so nobody was signed in. Try again; if it stays so, tell whoever runs this server.",
  not_allowed: "You are known to the sign-in service, but nobody has given you access here. Ask whoever runs this server.",
};

export function Login({ config, reason, onDone }: { config: PageConfig; reason: Problem; onDone: () => void }) {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const failure = FAILURES[usePlace().query.get("sign_in") ?? ""];
  useEffect(() => {
    if (!config.single_sign_on) field.current?.focus();
  }, [config.single_sign_on]);
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await send("/session", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key: key.trim() }),
      });
      setKey("");
      // What went wrong before is over.
      if (failure) go("/", true);
      onDone();
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, "internal", String(error)));
      field.current?.select();
    } finally {
      setBusy(false);
    }
  };
  const ended = reason.code === "session_ended";
  return (
    <main className="login">
      <form className="card login-card" onSubmit={(event) => { event.preventDefault(); void submit(); }}>
        <p className="brand"><Wave /><span className="brand-name">Tideline</span></p>
        <h1>{config.shop.name ? `Sign in to ${config.shop.name}` : "Sign in"}</h1>
        {failure ? <p className="field-problem" role="alert">{failure}</p> : ended && <p className="note">Your session has ended. Sign in again to go on.</p>}
        {config.single_sign_on && <a className="button primary" href="/session/oidc">Sign in with single sign-on</a>}
        <label htmlFor="key">{config.single_sign_on ? "Or with an API key" : "API key"}</label>
        <input id="key" ref={field} type="password" autoComplete="current-password" spellCheck={false} placeholder="tl_…" value={key}
          aria-invalid={problem !== null} aria-describedby={problem ? "key-problem" : "key-help"} onChange={(event) => setKey(event.target.value)} />
        {problem ? (
          <p id="key-problem" className="field-problem" role="alert">{sentence(problem.message)} {problem.hint && sentence(problem.hint)}</p>
        ) : (
          <p id="key-help" className="note">Made with <code>tideline keys create</code>; it needs the scope <code>read</code>.</p>
        )}
        <button type="submit" className={config.single_sign_on ? "button" : "button primary"} disabled={busy || key.trim() === ""}>{busy ? "Signing in…" : "Sign in"}</button>
      </form>
    </main>
  );
}
