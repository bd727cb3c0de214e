import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach } from "vitest";
import { browser, browserDoor } from "@/testing/browser";

export type Answer = { status: number; body?: unknown; headers?: Record<string, string> };

/** A door for unit tests: a real server on a real socket whose answers the test writes down by path. */
export class FakeDoor {
  readonly seen: IncomingMessage[] = [];
  answers: Record<string, Answer> = {};

  private constructor(private readonly server: Server) {}

  static async open(): Promise<FakeDoor> {
    const server = createServer();
    const door = new FakeDoor(server);
    server.on("request", (request, response) => {
      door.seen.push(request);
      const path = new URL(request.url ?? "/", door.url).pathname;
      const answer = door.answers[path] ?? { status: 503 };
      response.writeHead(answer.status, { "content-type": "application/json", ...answer.headers });
      response.end(answer.body === undefined ? "" : JSON.stringify(answer.body));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return door;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Leaves nobody listening, so that the next call is refused. */
  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Opens a door before each test of a file, and puts a browser with this cookie in front of it. */
export function doorForEach(cookie: string): () => FakeDoor {
  let door: FakeDoor;
  beforeEach(async () => {
    door = await FakeDoor.open();
    browserDoor.url = door.url;
    browser.headers = new Headers({ cookie });
  });
  afterEach(() => door.close());
  return () => door;
}

/** A refusal as the API writes it. */
export function problem(status: number, code: string): Answer {
  return { status, body: { title: code, status, code } };
}
