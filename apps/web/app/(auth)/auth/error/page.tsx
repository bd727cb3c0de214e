import type { Metadata } from "next";
import { loadError } from "@/features/auth-flow/load-error";
import { FailurePage } from "@/features/failure/failure-page";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.error };

export default async function ErrorPage({ searchParams }: PageProps<"/auth/error">) {
  return <FailurePage failure={await loadError(await searchParams)} />;
}
