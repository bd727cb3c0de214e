import type { Metadata } from "next";
import { ErrorCard } from "@/features/auth-flow/cards";
import { elementsConfig } from "@/features/auth-flow/elements-config";
import { loadError } from "@/features/auth-flow/load-error";
import { FailureNotice } from "@/features/failure/failure-notice";
import { Centered } from "@/features/site/centered";
import { config } from "@/lib/config";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.error };

export default async function ErrorPage({ searchParams }: PageProps<"/auth/error">) {
  const loaded = await loadError(await searchParams);
  return (
    <Centered>
      {"failure" in loaded ? (
        <FailureNotice failure={loaded.failure} />
      ) : (
        <ErrorCard error={loaded.error} config={elementsConfig(config().publicUrl)} />
      )}
    </Centered>
  );
}
