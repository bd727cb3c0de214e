import type { NextConfig } from "next";
import { PHASE_DEVELOPMENT_SERVER } from "next/constants";

// These hold for every page. A full script policy with nonces belongs to proxy.ts, which can see the request; what
// stands here needs no knowledge of it.
const securityHeaders = [
  { key: "X-Content-Type-Options", value: "nosniff" },
  // Flow ids and challenges travel in the query, so no other origin may see more than ours.
  { key: "Referrer-Policy", value: "strict-origin-when-cross-origin" },
  { key: "Content-Security-Policy", value: "frame-ancestors 'none'; base-uri 'self'; object-src 'none'" },
  { key: "X-Frame-Options", value: "DENY" },
  { key: "Permissions-Policy", value: "camera=(), geolocation=(), microphone=()" },
];

export default function config(phase: string): NextConfig {
  return {
    output: "standalone",
    // Both roots are named so that a lock file elsewhere on the machine cannot move the layout of the output.
    outputFileTracingRoot: import.meta.dirname,
    turbopack: { root: import.meta.dirname },
    poweredByHeader: false,
    reactStrictMode: true,
    images: { unoptimized: true },
    // Only the development server looks at the public host: the configuration is frozen into a production build, and
    // the public origin must stay a matter of the running process.
    ...(phase === PHASE_DEVELOPMENT_SERVER && { allowedDevOrigins: publicHost() }),
    headers: async () => [{ source: "/:path*", headers: securityHeaders }],
  };
}

function publicHost(): string[] {
  const url = process.env.GATEHOUSE_PUBLIC_URL;
  return url && URL.canParse(url) ? [new URL(url).hostname] : [];
}
