"use client";

import { Button, ButtonLink } from "@/features/site/button";
import { Card } from "@/features/site/card";
import { Centered } from "@/features/site/centered";
import { messages } from "@/lib/messages";

/** The last net: an error of our own making. The digest is what the server's log calls it. */
export default function PageError({
  error,
  reset,
}: {
  error: Error & { digest?: string };
  reset: () => void;
}) {
  const words = messages.failure;
  return (
    <Centered>
      <Card title={words.unexpected.title} text={words.unexpected.text}>
        <div className="flex flex-wrap gap-3">
          <Button onClick={reset}>{words.tryAgain}</Button>
          <ButtonLink href="/" variant="secondary">
            {words.goHome}
          </ButtonLink>
        </div>
        {error.digest && (
          <p className="text-muted text-sm">
            {words.report} <code className="break-all">{error.digest}</code>
          </p>
        )}
      </Card>
    </Centered>
  );
}
