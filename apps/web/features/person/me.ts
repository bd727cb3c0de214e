import "server-only";
import { z } from "zod";
import type { Failure } from "@/features/failure/failure";
import { ask, describeProblem } from "@/features/person/ask";

// A page is only ever asked for with a session, so the API can only answer with a person.
const personSchema = z.object({
  type: z.literal("user"),
  id: z.string().min(1),
  email: z.string().nullish(),
  name: z.string().nullish(),
});

export type Person = z.infer<typeof personSchema>;

export type Visitor =
  | { kind: "person"; person: Person }
  | { kind: "stranger" }
  | { kind: "failure"; failure: Failure };

/** Who is looking at this page, as the API says it: never as the cookie alone would have it. */
export async function whoIsHere(here: string): Promise<Visitor> {
  const asked = await ask("/api/me", personSchema, here);
  switch (asked.kind) {
    case "answer":
      return { kind: "person", person: asked.answer };
    case "refused":
      return { kind: "failure", failure: describeProblem(asked.problem) };
    default:
      return asked;
  }
}
