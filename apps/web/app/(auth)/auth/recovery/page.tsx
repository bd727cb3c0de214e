import type { Metadata } from "next";
import { RecoveryCard } from "@/features/auth-flow/cards";
import { elementsConfig } from "@/features/auth-flow/elements-config";
import { openFlow } from "@/features/auth-flow/open-flow";
import { FailureNotice } from "@/features/failure/failure-notice";
import { Centered } from "@/features/site/centered";
import { config } from "@/lib/config";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.recovery };

export default async function RecoveryPage({ searchParams }: PageProps<"/auth/recovery">) {
  const opened = await openFlow("recovery", await searchParams);
  return (
    <Centered>
      {"failure" in opened ? (
        <FailureNotice failure={opened.failure} />
      ) : (
        <RecoveryCard flow={opened.flow} config={elementsConfig(config().publicUrl)} />
      )}
    </Centered>
  );
}
