import "server-only";
import { z } from "zod";

// Both values are origins. A path or a trailing slash would end up inside every URL built from them, so the value is
// checked and reduced to the bare origin here, once.
const origin = z
  .string("is not set")
  .min(1, "is empty")
  .refine((value) => URL.canParse(value), "is not a URL")
  .transform((value) => new URL(value))
  .refine(
    (url) => url.protocol === "http:" || url.protocol === "https:",
    "must start with http:// or https://",
  )
  .refine(({ href, origin }) => href === `${origin}/`, "must be an origin: no path, query, user or password")
  .transform((url) => url.origin);

const environment = z.object({
  GATEHOUSE_PUBLIC_URL: origin,
  GATEHOUSE_DOOR_URL: origin,
});

export type Config = {
  /** The one origin that browsers see. */
  publicUrl: string;
  /** Where this server reaches that same door from inside. */
  doorUrl: string;
};

/** Reports every problem at once, so that one start shows all that is missing. */
export function parseConfig(env: Record<string, string | undefined>): Config {
  const parsed = environment.safeParse(env);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `  ${issue.path.join(".")} ${issue.message}`);
    throw new Error(`The web app's configuration is not usable:\n${problems.join("\n")}`);
  }
  return { publicUrl: parsed.data.GATEHOUSE_PUBLIC_URL, doorUrl: parsed.data.GATEHOUSE_DOOR_URL };
}

let cached: Config | undefined;

/** Read at run time, never at build time: one build serves every public origin. */
export function config(): Config {
  cached ??= parseConfig(process.env);
  return cached;
}
