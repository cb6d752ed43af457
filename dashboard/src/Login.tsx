// A key becomes a session: a cookie that scripts cannot read. The key itself is kept nowhere.
import { useEffect, useRef, useState } from "react";

import { type PageConfig, Problem, send } from "./lib/api";
import { Wave } from "./ui/icons";
import { sentence } from "./ui/parts";

export function Login({ config, reason, onDone }: { config: PageConfig; reason: Problem; onDone: () => void }) {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await send("/session", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key: key.trim() }),
      });
      setKey("");
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
        {ended && <p className="note">Your session has ended. Sign in again to go on.</p>}
        <label htmlFor="key">API key</label>
        <input id="key" ref={field} type="password" autoComplete="current-password" spellCheck={false} placeholder="tl_…" value={key}
          aria-invalid={problem !== null} aria-describedby={problem ? "key-problem" : "key-help"} onChange={(event) => setKey(event.target.value)} />
        {problem ? (
          <p id="key-problem" className="field-problem" role="alert">{sentence(problem.message)} {problem.hint && sentence(problem.hint)}</p>
        ) : (
          <p id="key-help" className="note">Made with <code>tideline keys create</code>; it needs the scope <code>read</code>.</p>
        )}
        <button type="submit" className="button primary" disabled={busy || key.trim() === ""}>{busy ? "Signing in…" : "Sign in"}</button>
      </form>
    </main>
  );
}
