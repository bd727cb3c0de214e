import { type NextRequest, NextResponse } from "next/server";
import { config } from "@/lib/config";
import { countRestart } from "@/lib/flow-failure";
import { initUrl, isFlowKind } from "@/lib/flow-urls";

const cookie = "gatehouse_restarts";

/** Begins a flow again, and counts, because a page cannot: see countRestart. */
export async function GET(request: NextRequest, { params }: { params: Promise<{ flow: string }> }) {
  const { publicUrl } = config();
  const { flow } = await params;
  if (!isFlowKind(flow)) {
    return new NextResponse(null, { status: 404 });
  }
  const count = countRestart(request.cookies.get(cookie)?.value);
  const target =
    count === undefined
      ? `${publicUrl}/auth/error?error=restart_loop`
      : initUrl(publicUrl, flow, Object.fromEntries(request.nextUrl.searchParams));
  const response = NextResponse.redirect(target, 303);
  response.headers.set("cache-control", "no-store");
  response.cookies.set(cookie, String(count ?? 0), {
    httpOnly: true,
    maxAge: count === undefined ? 0 : 60,
    path: "/auth",
    sameSite: "lax",
    secure: publicUrl.startsWith("https:"),
  });
  return response;
}
