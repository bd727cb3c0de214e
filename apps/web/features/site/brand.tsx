import { messages } from "@/lib/messages";

/** The mark and the name, leading home. */
export function Brand() {
  return (
    <a
      href="/"
      aria-label={messages.site.brandHome}
      className="flex w-fit items-center gap-2.5 font-semibold text-ink text-lg tracking-tight"
    >
      <svg viewBox="0 0 24 24" className="size-7 text-accent" aria-hidden="true" focusable="false">
        <path
          fill="currentColor"
          d="M3 21V8l2-1.5V4h2v1.2L9 4l3-2 3 2 2 1.2V4h2v2.5L21 8v13h-6v-6a3 3 0 0 0-6 0v6z"
        />
      </svg>
      {messages.site.name}
    </a>
  );
}
