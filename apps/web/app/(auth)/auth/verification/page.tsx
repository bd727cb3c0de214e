import type { Metadata } from "next";
import { VerificationCard } from "@/features/auth-flow/cards";
import { elementsConfig } from "@/features/auth-flow/elements-config";
import { openFlow } from "@/features/auth-flow/open-flow";
import { FailureNotice } from "@/features/failure/failure-notice";
import { Centered } from "@/features/site/centered";
import { config } from "@/lib/config";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.verification };

export default async function VerificationPage({ searchParams }: PageProps<"/auth/verification">) {
  const opened = await openFlow("verification", await searchParams);
  return (
    <Centered>
      {"failure" in opened ? (
        <FailureNotice failure={opened.failure} />
      ) : (
        <VerificationCard flow={opened.flow} config={elementsConfig(config().publicUrl)} />
      )}
    </Centered>
  );
}
