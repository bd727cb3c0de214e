"use client";

import type { OryClientConfiguration } from "@ory/elements-react";
import { type ReactNode, useMemo, useState } from "react";
import { type Trouble, TroubleText } from "@/features/failure/trouble";
import { messages } from "@/lib/messages";

/** What to say of an answer to a form, or undefined when Ory's components can make something of it. */
export function troubleWith(response: Response): Trouble | undefined {
  const requestId = response.headers.get("x-request-id") ?? undefined;
  if (response.status === 429) {
    return { text: messages.failure.busy.text, requestId };
  }
  return response.status >= 500 ? { text: messages.failure.notSent, requestId } : undefined;
}

/**
 * Ory's components stay silent when a form gets no usable answer: the button comes back and nothing is said. This
 * watches the answers on their way and says it, with what was typed still in place.
 */
export function Watched({
  config,
  children,
}: {
  config: OryClientConfiguration;
  children: (watched: OryClientConfiguration) => ReactNode;
}) {
  const [trouble, setTrouble] = useState<Trouble>();
  const watched = useMemo(() => {
    const fetchApi: typeof fetch = async (input, init) => {
      setTrouble(undefined);
      try {
        const response = await fetch(input, init);
        setTrouble(troubleWith(response));
        return response;
      } catch (error) {
        setTrouble({ text: messages.failure.offline });
        throw error;
      }
    };
    return { ...config, sdk: { ...config.sdk, options: { fetchApi } } };
  }, [config]);

  return (
    <>
      {children(watched)}
      {trouble && (
        <div
          role="alert"
          data-testid="form-trouble"
          className="fixed inset-x-4 bottom-4 z-10 mx-auto max-w-lg rounded-lg border border-danger bg-surface px-5 py-4 text-danger shadow-lg"
        >
          <TroubleText trouble={trouble} />
        </div>
      )}
    </>
  );
}
