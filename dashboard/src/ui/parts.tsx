// The small parts every view is made of.
import { type ReactNode, useId, useState } from "react";

import { Problem, UNREACHABLE } from "../lib/api";
import { Icon } from "./icons";
import { go } from "../lib/route";

/** A link within the page. */
export function Link({ to, className, children, current, label }: {
  to: string; className?: string; children: ReactNode; current?: boolean; label?: string;
}) {
  return (
    <a href={to} className={className} aria-current={current ? "page" : undefined} aria-label={label}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        go(to);
      }}>
      {children}
    </a>
  );
}

export function Card({ title, note, side, children, className = "", busy }: {
  title?: ReactNode; note?: ReactNode; side?: ReactNode; children: ReactNode; className?: string; busy?: boolean;
}) {
  const id = useId();
  return (
    <section className={`card ${className}`} aria-labelledby={title ? id : undefined} aria-busy={busy || undefined}>
      {title && (
        <header className="card-head">
          <h2 id={id}>{title}</h2>
          {note && <p className="note">{note}</p>}
          {side && <div className="card-side">{side}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

/** Nothing to show, and why. */
export function Empty({ children, hint }: { children: ReactNode; hint?: ReactNode }) {
  return (
    <div className="empty">
      <p>{children}</p>
      {hint && <p className="note">{hint}</p>}
    </div>
  );
}

/** Bars where text will be. */
export function Waiting({ rows = 4, label = "loading" }: { rows?: number; label?: string }) {
  return (
    <div className="waiting" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, i) => <span key={i} className="bone" />)}
    </div>
  );
}

export function Trouble({ problem, again }: { problem: Problem; again?: () => void }) {
  return (
    <div className="trouble" role="alert">
      <Icon name="alert" size={18} />
      <div>
        <p className="trouble-text">{sentence(problem.message)}</p>
        {problem.didYouMean && <p className="note">Did you mean <code>{problem.didYouMean}</code>?</p>}
        {problem.hint && <p className="note">{sentence(problem.hint)}</p>}
        {problem.code !== UNREACHABLE && problem.requestId && <p className="note faint">{problem.code} · request {problem.requestId}</p>}
      </div>
      {again && <button type="button" className="button" onClick={again}>Try again</button>}
    </div>
  );
}

export const sentence = (text: string): string => {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
};

/** One of a few: buttons in a row, of which one is pressed. */
export function Choice<T extends string>({ label, value, options, onChange }: {
  label: string; value: T; options: readonly { value: T; label: ReactNode; title?: string }[]; onChange: (value: T) => void;
}) {
  return (
    <div className="choice" role="group" aria-label={label}>
      {options.map((option) => (
        <button key={option.value} type="button" aria-pressed={option.value === value} title={option.title}
          onClick={() => onChange(option.value)}>
          {option.label}
        </button>
      ))}
    </div>
  );
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  return (
    <button type="button" className="button quiet"
      onClick={() => {
        void navigator.clipboard?.writeText(text).then(() => {
          setDone(true);
          window.setTimeout(() => setDone(false), 1_500);
        });
      }}>
      <Icon name="copy" size={14} /> {done ? "Copied" : label}
    </button>
  );
}

export function Code({ text, label }: { text: string; label: string }) {
  return (
    <div className="code">
      <pre tabIndex={0} aria-label={label}><code>{text}</code></pre>
      <CopyButton text={text} />
    </div>
  );
}
