// A few line icons of our own; none is loaded from anywhere.
const PATHS: Record<string, string> = {
  sun: "M12 7.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM12 2v2M12 20v2M2 12h2M20 12h2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.5Z",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  close: "M6 6l12 12M18 6L6 18",
  alert: "M12 4 2.8 19.5h18.4L12 4ZM12 10v4.5M12 17.2v.1",
  down: "M12 4v12M6.5 11 12 16.5 17.5 11M5 20h14",
  play: "M8 5.5v13l10.5-6.5L8 5.5Z",
  stop: "M7 7h10v10H7z",
  copy: "M9 9h10v11H9zM5 15V4h10",
  out: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
  search: "M10.5 4.5a6 6 0 1 0 0 12 6 6 0 0 0 0-12ZM15 15l5 5",
  arrow: "M5 12h14M13 6l6 6-6 6",
};

export function Icon({ name, size = 16 }: { name: keyof typeof PATHS | string; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.7"
      strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? ""} />
    </svg>
  );
}

export function Wave() {
  return (
    <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true" focusable="false" className="wave">
      <path d="M4 12.5c4 0 4 3.5 8 3.5s4-3.5 8-3.5 4 3.5 8 3.5" />
      <path d="M4 20c4 0 4 3.5 8 3.5s4-3.5 8-3.5 4 3.5 8 3.5" className="wave-low" />
    </svg>
  );
}
