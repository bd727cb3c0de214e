import type { ReactNode } from "react";
import { Brand } from "@/features/site/brand";

export function SiteHeader({ children }: { children?: ReactNode }) {
  return (
    <header className="border-line border-b bg-surface">
      <div className="mx-auto flex min-h-16 w-full max-w-5xl flex-wrap items-center justify-between gap-x-3 gap-y-2 px-4 py-2 sm:px-5">
        <Brand />
        <nav className="flex flex-wrap items-center gap-x-3 gap-y-2 sm:gap-x-5">{children}</nav>
      </div>
    </header>
  );
}

export function HeaderLink({ href, children }: { href: string; children: ReactNode }) {
  return (
    <a href={href} className="py-2 font-medium text-muted transition-colors hover:text-ink">
      {children}
    </a>
  );
}
