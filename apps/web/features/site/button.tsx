import type { ComponentProps } from "react";

const base =
  "inline-flex cursor-pointer items-center justify-center rounded-lg font-medium transition-colors disabled:cursor-default disabled:opacity-60";

const variants = {
  primary: "bg-accent text-on-accent hover:bg-accent-strong",
  secondary: "border border-line bg-surface text-ink hover:bg-canvas",
};

const sizes = { regular: "min-h-11 px-5", small: "min-h-9 px-3" };

type Look = { variant?: keyof typeof variants; size?: keyof typeof sizes };

function look({ variant = "primary", size = "regular" }: Look, className = ""): string {
  return `${base} ${variants[variant]} ${sizes[size]} ${className}`;
}

/**
 * A plain link on purpose: these lead out of the app's own router, through Kratos, and must not be fetched ahead of
 * the click.
 */
export function ButtonLink({ variant, size, className, ...rest }: ComponentProps<"a"> & Look) {
  return <a {...rest} className={look({ variant, size }, className)} />;
}

export function Button({
  variant,
  size,
  className,
  type = "button",
  ...rest
}: ComponentProps<"button"> & Look) {
  return <button {...rest} type={type} className={look({ variant, size }, className)} />;
}
