/**
 * Reads all retained messages that match some filters, in passes over one plain subscription. It does not read the socket while
 * its caller is busy, so that memory stays flat. A pass subscribes to the filters and, after the SUBACK, to the sentinel. If
 * messages stop before the sentinel has arrived, the pass is cut short. A broker may send the sentinel early, or drop
 * messages, so one pass proves nothing: only a further pass that brings nothing new does. If no pass has brought the control
 * messages, the broker does not let this process read what it retains, and all passes are cut short. What an earlier pass
 * asked for and comes late is not taken, if the broker supports subscription identifiers.
 */
import type { IPublishPacket, MqttClient } from 'mqtt';
import type { BrokerAccess } from './broker-access.js';
import { ControlMessages, retainOwn } from './control-messages.js';
import { keepSlowReaderAlive, openMqtt } from './mqtt-connection.js';
import { IncompleteReadError } from './retained-reader.js';
import { RetainedSubscriptions, type RetainedSubscription } from './retained-subscriptions.js';

/** `silenceMs` notices a broker that is frozen earlier. */
const KEEP_ALIVE_SECONDS = 60;
/** After the first of so many steps of the silence, the sentinel is asked for once more. */
const SILENT_STEPS = 3;

export interface SweepOptions extends BrokerAccess {
  clientId: string;
  filters: readonly string[];
  /** A topic on which the service keeps a retained message. It is subscribed to after the filters. */
  sentinel: string;
  /** They match the filters. */
  controls?: ControlMessages;
  /** If no message arrives for so many milliseconds, the pass is cut short. */
  silenceMs: number;
  signal: AbortSignal;
}

export interface RetainedListener {
  /** Receives one retained message. The read continues when the promise resolves, or at once if there is none. */
  retained(topic: string, payload: Buffer): Promise<void> | undefined;
  /** A message was published on the topic since the first pass began: a further pass may find it retained. */
  live(topic: string): void;
  /** A message of an earlier pass came now, so that pass was not complete. Its payload may be old: this pass brings the topic, too. */
  late(topic: string): void;
}

/** `complete`: the sentinel arrived, and this pass or an earlier one has brought the control messages. */
export type PassEnd = 'complete' | 'cut-short';

/** What a pass asks the broker for. */
interface Asked {
  ofFilters: RetainedSubscription;
  ofSentinel: RetainedSubscription;
  quietMs: number;
}

interface RunningPass {
  /** The broker has granted the subscription to the sentinel. */
  granted(): void;
  received(packet: IPublishPacket, done: () => void): void;
  /** Whether the caller is busy, or messages have come since the last call. */
  isReading(): boolean;
  fail(error: unknown): void;
}

export class RetainedSweep {
  private client: MqttClient | undefined;
  private running: RunningPass | undefined;
  private readonly subscriptions = new RetainedSubscriptions();
  private readonly controls: ControlMessages;
  /** Topics of control messages that a pass has brought. */
  private readonly controlled = new Set<string>();

  constructor(
    private readonly options: SweepOptions,
    private readonly listener: RetainedListener,
  ) {
    this.controls = options.controls ?? ControlMessages.none;
    options.signal.addEventListener('abort', this.abort, { once: true });
  }

  /**
   * Passes on all retained messages, again those that an earlier pass brought.
   * @param quietMs how long to wait for more messages after the sentinel
   * @throws IncompleteReadError if the connection ended; any error that the listener rejects with
   */
  async pass(quietMs: number): Promise<PassEnd> {
    const { filters, sentinel, signal } = this.options;
    const ofFilters = this.subscriptions.next(filters);
    const ofSentinel = this.subscriptions.next([sentinel]);
    const how = await new Promise<PassEnd>((resolve, reject) => {
      const fail = (error: unknown): void => reject(error instanceof Error ? error : new Error(String(error)));
      this.running = this.begin({ ofFilters, ofSentinel, quietMs }, resolve, fail);
      if (signal.aborted) this.abort();
      else this.ask([ofFilters, ofSentinel]).catch(fail);
    }).finally(() => (this.running = undefined));
    // A sentinel that has not come could end a later pass of the same connection, if the broker sends no identifiers.
    if (how === 'cut-short' || ofSentinel.mayComeAgain) this.disconnect();
    return how;
  }

  close(): void {
    this.options.signal.removeEventListener('abort', this.abort);
    this.disconnect();
  }

  private readonly abort = (): void => {
    this.running?.fail(new IncompleteReadError('the sweep ended early: it was stopped'));
  };

  private async ask(subscriptions: readonly RetainedSubscription[]): Promise<void> {
    const { sentinel } = this.options;
    let { client } = this;
    if (client === undefined) {
      client = this.client = this.open();
      await retainOwn(client, sentinel, this.controls);
    }
    for (const subscription of subscriptions) {
      const refusal = await subscription.send(client);
      if (refusal !== undefined) throw new Error(refusal);
    }
    this.running?.granted();
  }

  /**
   * Mosquitto 2.0.11 may hold the last message back until another SUBSCRIBE comes, if its socket was full when the one before
   * came. A ping does not help.
   */
  private askAgain(ofSentinel: RetainedSubscription): void {
    const { client } = this;
    if (client !== undefined) ofSentinel.send(client).catch((error: unknown) => this.running?.fail(error));
  }

  private open(): MqttClient {
    const { options } = this;
    const { clientId, keepAliveSeconds = KEEP_ALIVE_SECONDS } = options;
    const whole = { clean: true, reconnectPeriod: 0, resubscribe: false } as const;
    const client = openMqtt(options, { clientId, ...whole, keepalive: keepAliveSeconds });
    keepSlowReaderAlive(client, () => this.running?.isReading() === true);
    this.subscriptions.observe(client);
    client.on('close', () => {
      if (this.client !== client) return;
      this.client = undefined;
      this.running?.fail(new IncompleteReadError('the sweep ended early: the connection was closed'));
    });
    client.on('error', (error) => {
      if (this.client === client) this.running?.fail(error);
    });
    client.handleMessage = (packet, done) => {
      if (!packet.retain) {
        if (packet.topic !== options.sentinel) this.listener.live(packet.topic);
        done();
      } else if (this.running === undefined) done();
      else this.running.received(packet, done);
    };
    return client;
  }

  private disconnect(): void {
    const { client } = this;
    this.client = undefined;
    client?.end(true);
  }

  private mayRead(): boolean {
    return [...this.controls.topics].every((topic) => this.controlled.has(topic));
  }

  private take(packet: IPublishPacket, ofFilters: RetainedSubscription): Promise<void> | undefined {
    if (this.controls.topics.has(packet.topic)) {
      this.controlled.add(packet.topic);
      return undefined;
    }
    if (ofFilters.delivered(packet)) return this.listener.retained(packet.topic, packet.payload as Buffer);
    this.listener.late(packet.topic);
    return undefined;
  }

  private begin(
    { ofFilters, ofSentinel, quietMs }: Asked,
    end: (how: PassEnd) => void,
    reject: (error: unknown) => void,
  ): RunningPass {
    const { sentinel, silenceMs } = this.options;
    let isComplete = false;
    let [received, isBusy, isOver] = [0, false, false];
    let receivedBefore = 0;
    let [isGranted, silentSteps] = [false, 0];
    let timer: NodeJS.Timeout | undefined;
    const restartTimer = (): void => {
      clearTimeout(timer);
      if (!isOver) timer = setTimeout(expire, isComplete ? quietMs : silenceMs / SILENT_STEPS);
    };
    const expire = (): void => {
      const before = received;
      // If the process was late, messages that came in time may still be in the socket: reads it once more.
      setImmediate(() => {
        if (isOver) return;
        if (received !== before) {
          if (!isBusy) restartTimer();
        } else if (isComplete || ++silentSteps >= SILENT_STEPS) {
          isOver = true;
          end(isComplete && this.mayRead() ? 'complete' : 'cut-short');
        } else {
          if (isGranted && !ofSentinel.isRepeated) this.askAgain(ofSentinel);
          restartTimer();
        }
      });
    };
    const fail = (error: unknown): void => {
      isOver = true;
      clearTimeout(timer);
      reject(error);
    };
    restartTimer();
    return {
      fail,
      granted: () => (isGranted = true),
      isReading: () => {
        const before = receivedBefore;
        receivedBefore = received;
        return isBusy || received > before;
      },
      received: (packet, done) => {
        received++;
        silentSteps = 0;
        const isFirstSentinel = packet.topic === sentinel && !isComplete && ofSentinel.delivered(packet);
        isComplete ||= isFirstSentinel;
        const taking = packet.topic === sentinel ? undefined : this.take(packet, ofFilters);
        if (taking === undefined) {
          // A new timer for each message would cost more than the message.
          if (isFirstSentinel) restartTimer();
          else timer?.refresh();
          done();
          return;
        }
        // No message can arrive while the socket is not read.
        clearTimeout(timer);
        isBusy = true;
        taking.then(() => {
          isBusy = false;
          restartTimer();
          done();
        }, fail);
      },
    };
  }
}
