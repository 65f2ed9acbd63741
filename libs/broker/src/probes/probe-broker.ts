/** The broker that is probed: opens connections, makes topics, and removes at the end what the probes left behind. */
import type { IClientOptions } from 'mqtt';
import { createLogger } from '@app/platform';
import type { BrokerAccess } from '../broker-access.js';
import { READ_MS } from '../check/absence.js';
import { CheckConnection, CheckInterruptedError, EXPIRY_SECONDS } from '../check/check-connection.js';
import { CheckTopics } from '../check/check-topics.js';
import { isWithin } from '../check/packet-size.js';
import { RetainedReader } from '../retained-reader.js';

const silent = { write: () => undefined };

export interface OpenOptions {
  /** Resumes the session of this client id, or takes its connection over. */
  clientId?: string;
  /** Whether the session outlives the connection. */
  keepsSession?: boolean;
  acknowledges?: boolean;
  will?: string;
  sessionExpirySeconds?: number;
}

export class ProbeBroker {
  readonly topics = new CheckTopics();
  private readonly connections = new Set<CheckConnection>();
  /** Client ids with a session that outlives its connections. */
  private readonly sessions = new Set<string>();
  private readonly retained = new Set<string>();
  private count = 0;
  private isEnded = false;

  constructor(
    readonly access: BrokerAccess,
    /** Tells the operator something in the middle of a probe. */
    readonly notify: (text: string) => void = () => undefined,
    /** Resolves when the operator says so. */
    readonly untilOperator: (signal: AbortSignal) => Promise<void> = never,
  ) {}

  /** A topic whose retained message is removed at the end. */
  retainedTopic(name: string): string {
    const topic = this.topics.at(name);
    this.retained.add(topic);
    return topic;
  }

  /** @throws CheckInterruptedError */
  async client({
    clientId = this.newClientId(),
    keepsSession = false,
    acknowledges = true,
    will,
    sessionExpirySeconds = keepsSession ? EXPIRY_SECONDS : 0,
  }: OpenOptions = {}): Promise<CheckConnection> {
    this.stopIfEnded();
    if (keepsSession) this.sessions.add(clientId);
    const connection = await this.open(clientId, {
      clean: !keepsSession,
      acknowledges,
      properties: { sessionExpiryInterval: sessionExpirySeconds },
      ...(will !== undefined && {
        will: { topic: will, payload: Buffer.from('will'), qos: 1 as const, retain: false },
      }),
    });
    this.connections.add(connection);
    void connection.closed.then(() => this.connections.delete(connection));
    if (this.isEnded) await this.endConnections();
    return connection;
  }

  /** Reads as the service does. The caller closes it. */
  reader(sentinel: string): RetainedReader {
    const logger = createLogger('check-broker', 'silent', silent);
    return new RetainedReader(this.access, this.newClientId(), this.retainedTopic(sentinel), logger, {
      readMs: READ_MS,
    });
  }

  /** Ends the connections of a probe, whether it has completed or not. */
  async endConnections(): Promise<void> {
    await Promise.all([...this.connections].map((connection) => connection.end()));
  }

  /** @throws CheckInterruptedError if the check has ended: a probe that ran out of time stops here */
  stopIfEnded(): void {
    if (this.isEnded) throw new CheckInterruptedError('the check has ended');
  }

  /** Removes retained messages and sessions. */
  async cleanUp(): Promise<void> {
    this.isEnded = true;
    await this.endConnections();
    if (this.retained.size > 0) {
      const cleaner = await this.open(this.newClientId());
      const messages = [...this.retained].map((topic) => ({ topic, payload: '', retain: true }));
      // What does not fit has not been published either.
      await cleaner.publishAll(messages.filter((one) => isWithin(one, cleaner.granted.maximumPacketSize)));
      await cleaner.end();
    }
    for (const clientId of this.sessions) await (await this.open(clientId)).end();
  }

  newClientId(): string {
    return `check-broker-${this.topics.id}-${this.count++}`;
  }

  private async open(clientId: string, options?: IClientOptions & { acknowledges: boolean }): Promise<CheckConnection> {
    const opened = await CheckConnection.open(this.access, clientId, options);
    if (opened.kind === 'connected') return opened.connection;
    throw new CheckInterruptedError(`the broker did not accept a connection: ${opened.details}`);
  }
}

function never(): Promise<void> {
  return new Promise(() => undefined);
}
