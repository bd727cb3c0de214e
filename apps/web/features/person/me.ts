import "server-only";
import { redirect } from "next/navigation";
import { z } from "zod";
import { describeFailure, type Failure } from "@/features/failure/failure";
import { config } from "@/lib/config";
import { callApi, DoorUnreachable } from "@/lib/door";
import { pageUrl } from "@/lib/flow-urls";
import { sessionState } from "@/lib/kratos";
import { readProblem } from "@/lib/problem";

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

function failed(failure: Failure): Visitor {
  return { kind: "failure", failure };
}

/** Who is looking at this page, as the API says it: never as the cookie alone would have it. */
export async function whoIsHere(here: string): Promise<Visitor> {
  let response: Response;
  try {
    response = await callApi("/api/me");
  } catch (error) {
    if (error instanceof DoorUnreachable) {
      return failed(describeFailure("apiUnavailable", 0));
    }
    throw error;
  }
  if (response.ok) {
    const parsed = personSchema.safeParse(await response.json().catch(() => undefined));
    return parsed.success
      ? { kind: "person", person: parsed.data }
      : failed(describeFailure("unexpected", response.status));
  }
  const { status, code } = await readProblem(response);
  if (status === 401) {
    return { kind: "stranger" };
  }
  if (code === "step_up_required") {
    // Once Kratos itself is content, sending the person to it again would only bring them straight back.
    if ((await sessionState()).kind !== "active") {
      redirect(pageUrl(config().publicUrl, "login", { aal: "aal2", return_to: here }));
    }
    return failed(describeFailure("stepUp", status));
  }
  if (code === "account_disabled") {
    return failed(describeFailure("disabled", status));
  }
  return failed(describeFailure(status >= 502 && status <= 504 ? "apiUnavailable" : "unexpected", status));
}
