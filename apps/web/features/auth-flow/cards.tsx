"use client";

import type { OryClientConfiguration, OryFlowComponentOverrides } from "@ory/elements-react";
import { Login, Recovery, Registration, Settings, Verification } from "@ory/elements-react/theme";
import type { ComponentType } from "react";
import { overrides } from "@/features/auth-flow/components";
import { Watched } from "@/features/auth-flow/watched";

// Ory's components take components as properties, which cannot cross from the server: this file is the crossing.

export type CardProps<Flow> = { flow: Flow; config: OryClientConfiguration };

function ours<Flow>(Theirs: ComponentType<CardProps<Flow> & { components: OryFlowComponentOverrides }>) {
  return function Card({ flow, config }: CardProps<Flow>) {
    return (
      <Watched config={config}>
        {(watched) => <Theirs flow={flow} config={watched} components={overrides} />}
      </Watched>
    );
  };
}

export const LoginCard = ours(Login);
export const RegistrationCard = ours(Registration);
export const RecoveryCard = ours(Recovery);
export const VerificationCard = ours(Verification);
export const SettingsCards = ours(Settings);
