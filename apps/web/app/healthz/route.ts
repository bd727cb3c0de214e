import { config } from "@/lib/config";

// For the one who started this process: it is up and configured. It asks no other server, so an outage elsewhere does
// not get a healthy web app restarted.
export const dynamic = "force-dynamic";

export function GET() {
  config();
  return new Response("ok\n", { headers: { "cache-control": "no-store", "content-type": "text/plain" } });
}
