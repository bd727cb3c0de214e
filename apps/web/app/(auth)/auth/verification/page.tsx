import type { Metadata } from "next";
import { VerificationCard } from "@/features/auth-flow/cards";
import { FlowPage } from "@/features/auth-flow/flow-page";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.verification };

export default function VerificationPage({ searchParams }: PageProps<"/auth/verification">) {
  return <FlowPage kind="verification" query={searchParams} card={VerificationCard} />;
}
