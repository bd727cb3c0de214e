import type { ReactNode } from "react";
import { Brand } from "@/features/site/brand";

/** The frame of our own single-purpose pages, the same size and place as the cards of the sign-in flows. */
export function Card({ title, text, children }: { title: string; text?: string; children?: ReactNode }) {
  return (
    <section className="grid w-full gap-8 border-line border-b bg-surface px-8 py-12 sm:w-[480px] sm:rounded-xl sm:border sm:px-12 sm:py-14">
      <Brand />
      <div className="grid gap-2">
        <h1 className="wrap-anywhere text-balance font-semibold text-xl">{title}</h1>
        {text && <p className="text-muted">{text}</p>}
      </div>
      {children}
    </section>
  );
}
