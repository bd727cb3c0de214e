"use client";

import { useState } from "react";
import { type ConsentRequest, consentAnswerSchema, redirectWithin } from "@/features/consent/consent";
import { describeScope } from "@/features/consent/scopes";
import { type Trouble, TroubleText } from "@/features/failure/trouble";
import { Button } from "@/features/site/button";
import { messages } from "@/lib/messages";
import { readProblem } from "@/lib/problem";

/**
 * The answer to an application. It is sent by the browser and not by this server: the API accepts an answer only from
 * our own page, and the browser is the one that can prove it.
 */
export function ConsentForm({ challenge, request }: { challenge: string; request: ConsentRequest }) {
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble>();
  const words = messages.consent;

  async function answer(accept: boolean) {
    setBusy(true);
    setTrouble(undefined);
    const outcome = await send(challenge, request, accept);
    if ("leadsTo" in outcome) {
      // The buttons stay disabled: the page is being left.
      window.location.assign(outcome.leadsTo);
      return;
    }
    setTrouble(outcome.trouble);
    setBusy(false);
  }

  return (
    <div className="grid gap-8">
      {request.requested_scopes.length > 0 ? (
        <div className="grid gap-3">
          <p className="text-muted">{words.asks}</p>
          <ul className="grid gap-2" data-testid="scopes">
            {request.requested_scopes.map(describeScope).map(({ scope, words: text, known }) => (
              <li key={scope} className="flex gap-3 rounded-lg bg-canvas px-4 py-3">
                <span aria-hidden="true" className="text-accent">
                  ✓
                </span>
                {known ? <span>{text}</span> : <code className="break-all text-sm/6">{text}</code>}
              </li>
            ))}
          </ul>
        </div>
      ) : (
        <p className="text-muted">{words.asksNothing}</p>
      )}
      <p className="text-muted text-sm">{words.trust}</p>
      {trouble && (
        <div role="alert" className="rounded-lg border border-danger px-4 py-3 text-danger">
          <TroubleText trouble={trouble} />
        </div>
      )}
      <noscript>
        <p className="rounded-lg border border-line px-4 py-3">{words.needsScript}</p>
      </noscript>
      <div className="grid gap-3 sm:grid-cols-2">
        <Button variant="secondary" disabled={busy} onClick={() => answer(false)} data-testid="consent-deny">
          {words.deny}
        </Button>
        <Button disabled={busy} onClick={() => answer(true)} data-testid="consent-allow">
          {busy ? words.working : words.allow}
        </Button>
      </div>
    </div>
  );
}

async function send(
  challenge: string,
  request: ConsentRequest,
  accept: boolean,
): Promise<{ leadsTo: string } | { trouble: Trouble }> {
  let response: Response;
  try {
    response = await fetch("/api/oauth2/consent", {
      method: "POST",
      headers: { accept: "application/json", "content-type": "application/json" },
      body: JSON.stringify({
        consent_challenge: challenge,
        csrf_token: request.csrf_token,
        accept,
        scopes: accept ? request.requested_scopes : [],
      }),
    });
  } catch {
    return { trouble: { text: messages.failure.offline } };
  }
  if (!response.ok) {
    const problem = await readProblem(response);
    return { trouble: { text: problem.detail ?? problem.title, requestId: problem.request_id } };
  }
  const parsed = consentAnswerSchema.safeParse(await response.json().catch(() => undefined));
  const leadsTo = parsed.success && redirectWithin(window.location.origin, parsed.data.redirect_to);
  return leadsTo ? { leadsTo } : { trouble: { text: messages.consent.unexpected } };
}
