import { z } from "zod";

/** RFC 9457 as every refusal under /api/* is written, whoever made it. */
export const problemSchema = z.object({
  title: z.string(),
  status: z.number().int(),
  detail: z.string().optional(),
  code: z.string(),
  request_id: z.string().optional(),
});

export type Problem = z.infer<typeof problemSchema>;

/**
 * The problem in a refusal. Something between us and the API may answer in its own words; then the status alone has to
 * do, and the code says that nobody gave one.
 */
export async function readProblem(response: Response): Promise<Problem> {
  const body: unknown = await response.json().catch(() => undefined);
  const parsed = problemSchema.safeParse(body);
  if (parsed.success) {
    return parsed.data;
  }
  return {
    title: response.statusText || "Request failed",
    status: response.status,
    code: "unknown",
    request_id: response.headers.get("x-request-id") ?? undefined,
  };
}
