import type { Metadata } from "next";
import { RecoveryCard } from "@/features/auth-flow/cards";
import { FlowPage } from "@/features/auth-flow/flow-page";
import { messages } from "@/lib/messages";

export const metadata: Metadata = { title: messages.titles.recovery };

export default function RecoveryPage({ searchParams }: PageProps<"/auth/recovery">) {
  return <FlowPage kind="recovery" query={searchParams} card={RecoveryCard} />;
}
