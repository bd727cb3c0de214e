import type { ReactNode } from "react";

/** One thing on the page, in the middle of it. */
export function Centered({ children }: { children: ReactNode }) {
  return (
    <main className="flex min-h-dvh flex-col items-stretch justify-start bg-surface sm:items-center sm:justify-center sm:bg-canvas sm:py-10">
      {children}
    </main>
  );
}
