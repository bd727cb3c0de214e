import type { Metadata } from "next";
import { ConsentForm } from "@/features/consent/consent-form";
import { loadConsent } from "@/features/consent/load-consent";
import { FailurePage } from "@/features/failure/failure-page";
import { Card } from "@/features/site/card";
import { Centered } from "@/features/site/centered";
import { first } from "@/lib/flow-urls";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.consent };

export default async function ConsentPage({ searchParams }: PageProps<"/auth/consent">) {
  const challenge = first(await searchParams, "consent_challenge");
  if (!challenge) {
    return <FailurePage failure={{ ...messages.consent.noChallenge, action: "home" }} />;
  }
  const outcome = await loadConsent(challenge);
  if ("failure" in outcome) {
    return <FailurePage failure={outcome.failure} />;
  }
  const { client } = outcome.request;
  return (
    <Centered>
      <Card title={messages.consent.title(client.name || client.id)}>
        <ConsentForm challenge={challenge} request={outcome.request} />
      </Card>
    </Centered>
  );
}
