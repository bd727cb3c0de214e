import { z } from "zod";

/** What the API tells about an application's request for access. */
export const consentRequestSchema = z.object({
  client: z.object({ id: z.string().min(1), name: z.string().optional().catch(undefined) }),
  requested_scopes: z
    .array(z.string())
    .nullable()
    .transform((scopes) => scopes ?? []),
  csrf_token: z.string().min(1),
});

export const consentAnswerSchema = z.object({ redirect_to: z.string().min(1) });

export type ConsentRequest = z.infer<typeof consentRequestSchema>;

/**
 * Where the answer leads, if it leads there through our own door. Hydra lives at the public origin and does the hop to
 * the application itself, so any other address here is not its answer.
 */
export function redirectWithin(origin: string, redirectTo: string): string | undefined {
  if (!URL.canParse(redirectTo, origin)) {
    return undefined;
  }
  const url = new URL(redirectTo, origin);
  return url.origin === origin ? url.href : undefined;
}
