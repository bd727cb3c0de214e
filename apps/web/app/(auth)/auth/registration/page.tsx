import type { Metadata } from "next";
import { RegistrationCard } from "@/features/auth-flow/cards";
import { elementsConfig } from "@/features/auth-flow/elements-config";
import { openFlow } from "@/features/auth-flow/open-flow";
import { FailureNotice } from "@/features/failure/failure-notice";
import { Centered } from "@/features/site/centered";
import { config } from "@/lib/config";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.registration };

export default async function RegistrationPage({ searchParams }: PageProps<"/auth/registration">) {
  const opened = await openFlow("registration", await searchParams);
  return (
    <Centered>
      {"failure" in opened ? (
        <FailureNotice failure={opened.failure} />
      ) : (
        <RegistrationCard flow={opened.flow} config={elementsConfig(config().publicUrl)} />
      )}
    </Centered>
  );
}
