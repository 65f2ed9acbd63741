/** What the specs of `Publisher` share: a Mosquitto, a subscriber, and publishers and links that end with each test. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync, type IPublishPacket, type MqttClient } from 'mqtt';
import { Publisher, type PublishOutcome } from '@app/broker';
import { ContraryBroker } from './contrary-broker.js';
import { Proxy } from './proxy.js';
import { eventually, quiet, startMosquitto, type Server } from './servers.js';
import { SlowLink } from './slow-link.js';

export const ACKNOWLEDGED: PublishOutcome = { kind: 'acknowledged' };
export const NO_SUBSCRIBERS: PublishOutcome = { kind: 'no-subscribers' };
export const ABORTED: PublishOutcome = { kind: 'aborted' };

/** The outcome of a publish, once there is one. */
export function watch(publishing: Promise<PublishOutcome>): { outcome: PublishOutcome | undefined } {
  const watched: { outcome: PublishOutcome | undefined } = { outcome: undefined };
  void publishing.then((outcome) => {
    watched.outcome = outcome;
  });
  return watched;
}

/** Starts what the specs share, and gives each test its own part of it. `begin` is called before the first test. */
export function withPublishers(begin: (publishers: Publishers) => void): void {
  let publishers: Publishers;

  beforeAll(async () => {
    publishers = await Publishers.start();
    begin(publishers);
  });
  afterAll(() => publishers.stop());
  beforeEach(() => publishers.beginTest());
  afterEach(() => publishers.endTest());
}

export class Publishers {
  subscriber!: MqttClient;
  received: { topic: string; text: string; packet: IPublishPacket }[] = [];
  private cases = 0;
  private opened: Publisher[] = [];
  /** Brokers and links of one test. */
  private parts: { readonly stop: () => Promise<void> }[] = [];

  private constructor(
    readonly broker: Server,
    private readonly folder: string,
  ) {}

  /** Its access control allows the topics below `out/`. */
  static async start(): Promise<Publishers> {
    const folder = await mkdtemp(join(tmpdir(), 'cloud-connector-spec-'));
    const acl = join(folder, 'acl');
    await writeFile(acl, 'topic readwrite out/#\ntopic read $SYS/#\n');
    return new Publishers(await startMosquitto({ config: [`acl_file ${acl}`] }), folder);
  }

  async stop(): Promise<void> {
    await this.broker.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  async beginTest(): Promise<void> {
    this.opened = [];
    this.parts = [];
    this.received = [];
    this.subscriber = await connectAsync(this.broker.url, { protocolVersion: 5 });
    this.subscriber.on('message', (topic, payload, packet) =>
      this.received.push({ topic, text: payload.toString(), packet }),
    );
  }

  async endTest(): Promise<void> {
    for (const { stop } of this.parts.toReversed()) await stop();
    await Promise.all(
      this.opened.map(async (publisher) => {
        // `close` waits for PUBACKs, which a broker that is stopped does not send.
        if (this.parts.length > 0)
          await eventually('the publisher loses its connection', () => expect(publisher.connected).toBe(false));
        await publisher.close();
      }),
    );
    await this.subscriber.endAsync();
  }

  async open(url = this.broker.url): Promise<Publisher> {
    const publisher = this.openWithoutWaiting(url);
    await eventually('the publisher is connected', () => expect(publisher.connected).toBe(true));
    return publisher;
  }

  openWithoutWaiting(url: string, pubackMs?: number): Publisher {
    const publisher = new Publisher({ url }, `publisher-${this.cases++}`, quiet, pubackMs);
    this.opened.push(publisher);
    return publisher;
  }

  /** Starts a broker that is stopped after the test. */
  async startBroker(options: { port?: number; config?: string[] }): Promise<Server> {
    return this.keep(await startMosquitto(options));
  }

  async contraryBroker(): Promise<ContraryBroker> {
    const contrary = await ContraryBroker.before(this.broker.port);
    this.keep({ stop: () => contrary.stop() });
    return contrary;
  }

  async proxy(): Promise<Proxy> {
    const proxy = await Proxy.before(this.broker.port);
    this.keep({ stop: () => proxy.stop() });
    return proxy;
  }

  async slowLink(brokerPort: number): Promise<SlowLink> {
    return this.keep(await SlowLink.before(brokerPort));
  }

  /** A publisher whose broker allows 5 pending publishes, behind a link that withholds PUBACKs. */
  async openSlow(): Promise<{ link: SlowLink; publisher: Publisher }> {
    const small = await this.startBroker({ config: ['max_inflight_messages 5'] });
    const link = await this.slowLink(small.port);
    return { link, publisher: await this.open(link.url) };
  }

  private keep<Part extends { readonly stop: () => Promise<void> }>(part: Part): Part {
    this.parts.push(part);
    return part;
  }
}
