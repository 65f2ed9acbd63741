import { connectAsync } from 'mqtt';
import {
  ABORTED,
  ACKNOWLEDGED,
  NO_SUBSCRIBERS,
  watch,
  withPublishers,
  type Publishers,
} from '../../../test/support/publishers.js';
import { eventually, freePort, startMosquitto } from '../../../test/support/servers.js';

let publishers: Publishers;

withPublishers((begun) => (publishers = begun));

describe('Publisher, when the connection to the broker is lost', () => {
  it('completes publishes made during the outage when the broker is back', async () => {
    const port = await freePort();
    const first = await startMosquitto({ port });
    const publisher = await publishers.open(first.url);
    await first.stop();
    await eventually('the publisher loses its connection', () => expect(publisher.connected).toBe(false));
    const outcomes = Promise.all([publisher.publish('out/a', '1'), publisher.publish('out/a', '2')]);
    await publishers.startBroker({ port });
    expect(await outcomes).toEqual([NO_SUBSCRIBERS, NO_SUBSCRIBERS]);
    expect(publisher.connected).toBe(true);
  });

  it('completes publishes that were pending at the outage with the outcome of the second attempt', async () => {
    const port = await freePort();
    const first = await startMosquitto({ port });
    const link = await publishers.slowLink(port);
    const publisher = await publishers.open(link.url);
    const outcome = publisher.publish('out/a', 'x');
    await eventually('the PUBACK is withheld', () => expect(link.withheld).toBe(1));
    await first.stop();
    await eventually('the publisher loses its connection', () => expect(publisher.connected).toBe(false));
    link.passAll();
    await publishers.startBroker({ port });
    expect(await outcome).toEqual(NO_SUBSCRIBERS);
    expect(link.published).toBe(2);
  });

  it('reports a pending publish with `writeBy` as unknown, and does not send it again', async () => {
    const port = await freePort();
    const first = await startMosquitto({ port });
    const link = await publishers.slowLink(port);
    const publisher = await publishers.open(link.url);
    const writeBy = performance.now() + 600_000;
    const outcome = publisher.publish('out/a', 'x', { writeBy });
    await eventually('the PUBACK is withheld', () => expect(link.withheld).toBe(1));
    await first.stop();
    expect(await outcome).toMatchObject({ kind: 'unknown' });
    link.passAll();
    await publishers.startBroker({ port });
    expect(await publisher.publish('out/a', 'marker', { writeBy })).toEqual(NO_SUBSCRIBERS);
    expect(link.texts).toEqual(['x', 'marker']);
  });

  it('gives the places of aborted publishes to others when the connection ends', async () => {
    const port = await freePort();
    const first = await startMosquitto({ port, config: ['max_inflight_messages 5'] });
    const link = await publishers.slowLink(port);
    const publisher = await publishers.open(link.url);
    const stopping = new AbortController();
    const outcomes = Array.from({ length: 5 }, () =>
      publisher.publish('out/a', 'aborted', { signal: stopping.signal }),
    );
    await eventually('five publishes are pending', () => expect(link.pending).toBe(5));
    stopping.abort();
    expect(await Promise.all(outcomes)).toEqual(outcomes.map(() => ABORTED));
    const waiting = watch(publisher.publish('out/a', 'waits for its turn'));
    await first.stop();
    link.passAll();
    await publishers.startBroker({ port, config: ['max_inflight_messages 5'] });
    await eventually('the queued publish completes', () => expect(waiting.outcome).toEqual(NO_SUBSCRIBERS));
    expect(link.texts.filter((text) => text === 'aborted')).toHaveLength(5);
  });

  it('completes publishes made before the broker could be reached for the first time', async () => {
    const port = await freePort();
    const publisher = publishers.openWithoutWaiting(`mqtt://127.0.0.1:${port}`);
    const outcome = publisher.publish('out/a', '1');
    await publishers.startBroker({ port });
    expect(await outcome).toEqual(NO_SUBSCRIBERS);
  });

  it('says once that a connection was lost, and nothing of attempts to connect or of its own end', async () => {
    const port = await freePort();
    const first = await publishers.startBroker({ port });
    const publisher = await publishers.open(first.url);
    let losses = 0;
    publisher.onLost(() => losses++);
    await first.stop();
    await eventually('the publisher loses its connection', () => expect(publisher.connected).toBe(false));
    await publishers.startBroker({ port });
    expect(await publisher.publish('out/a', '1')).toEqual(NO_SUBSCRIBERS);
    await publisher.close();
    expect(losses).toBe(1);
  });

  it('names the address of the broker, without user and password, and why there is no connection', async () => {
    const port = await freePort();
    const first = await startMosquitto({ port });
    const publisher = await publishers.open(`mqtt://some-user:some-password@127.0.0.1:${port}`);
    expect(publisher.problem).toBeUndefined();
    await first.stop();
    await eventually('the publisher tries to connect again', () =>
      expect(publisher.problem).toBe(
        `the broker at mqtt://127.0.0.1:${port} cannot be reached: connect ECONNREFUSED 127.0.0.1:${port}`,
      ),
    );
    await publishers.startBroker({ port });
    await eventually('the publisher is connected', () => expect(publisher.problem).toBeUndefined());
  });

  it('can be closed while a publish is queued', async () => {
    const publisher = publishers.openWithoutWaiting(`mqtt://127.0.0.1:${await freePort()}`);
    void publisher.publish('out/a', 'x');
    await publisher.close();
    expect(publisher.connected).toBe(false);
  });

  it('reconnects if the broker acknowledges nothing, and is stalled until the broker acknowledges a publish', async () => {
    const contrary = await publishers.contraryBroker();
    const publisher = publishers.openWithoutWaiting(contrary.url, 500);
    await eventually('the publisher is connected', () => expect(publisher.connected).toBe(true));
    contrary.withholdPubacks();
    const writeBy = performance.now() + 600_000;
    const outcomes = Array.from({ length: 3 }, () => publisher.publish('out/a', 'x', { writeBy }));
    for (const outcome of outcomes) expect(await outcome).toMatchObject({ kind: 'unknown' });
    expect(publisher.stalled).toBe(true);
    contrary.release();
    expect(await publisher.publish('out/a', 'marker')).toEqual(NO_SUBSCRIBERS);
    expect([publisher.connected, publisher.stalled]).toEqual([true, false]);
  });
});

describe('Publisher, with a publish that has a deadline', () => {
  it('reports it as late if the broker is away until then, and never sends it', async () => {
    const port = await freePort();
    const publisher = publishers.openWithoutWaiting(`mqtt://127.0.0.1:${port}`);
    expect(await publisher.publish('out/a', 'late', { writeBy: performance.now() + 5 })).toEqual({ kind: 'late' });
    const { url } = await publishers.startBroker({ port });
    const listener = await connectAsync(url, { protocolVersion: 5 });
    const seen: string[] = [];
    listener.on('message', (_topic, payload) => seen.push(payload.toString()));
    await listener.subscribeAsync('out/a', { qos: 1 });
    expect(await publisher.publish('out/a', 'marker')).toEqual(ACKNOWLEDGED);
    await eventually('the subscriber receives the marker', () => expect(seen).toEqual(['marker']));
    await listener.endAsync();
  });

  it('does not write it after the deadline, although the connection is open', async () => {
    const { link, publisher } = await publishers.openSlow();
    // As after a freeze of the process.
    const writeBy = performance.now() - 1;
    expect(await publisher.publish('out/a', 'late', { writeBy })).toEqual({ kind: 'late' });
    link.passAll();
    expect(await publisher.publish('out/a', 'marker')).toEqual(NO_SUBSCRIBERS);
    expect(link.texts).toEqual(['marker']);
  });

  it('does not write it if the deadline passes before its turn', async () => {
    const { link, publisher } = await publishers.openSlow();
    const first = Array.from({ length: 5 }, () => publisher.publish('out/a', 'x'));
    await eventually('five publishes are pending', () => expect(link.pending).toBe(5));
    const late = publisher.publish('out/a', 'late', { writeBy: performance.now() + 5 });
    expect(await late).toEqual({ kind: 'late' });
    link.passAll();
    await Promise.all(first);
    expect(await publisher.publish('out/a', 'marker')).toEqual(NO_SUBSCRIBERS);
    expect(link.texts).toEqual(['x', 'x', 'x', 'x', 'x', 'marker']);
  });
});

describe('Publisher, with a publish that can be aborted', () => {
  it('ends the wait for a connection', async () => {
    const publisher = publishers.openWithoutWaiting(`mqtt://127.0.0.1:${await freePort()}`);
    const stopping = new AbortController();
    const outcome = publisher.publish('out/a', 'x', { signal: stopping.signal });
    stopping.abort();
    expect(await outcome).toEqual(ABORTED);
  });

  it('ends the wait for a turn by `untilWritten`, but not the wait for the PUBACK', async () => {
    const contrary = await publishers.contraryBroker();
    const publisher = await publishers.open(contrary.url);
    contrary.withholdPubacks();
    const [unwanted, stopping] = [new AbortController(), new AbortController()];
    const untilWritten = unwanted.signal;
    const first = publisher.publish('out/a', '1', { untilWritten, signal: stopping.signal });
    const second = publisher.publish('out/a', '2', { untilWritten });
    await eventually('two PUBACKs are withheld', () => expect(contrary.withheld).toBe(2));
    unwanted.abort();
    expect(await publisher.publish('out/a', '3', { untilWritten })).toEqual(ABORTED);
    expect(await Promise.race([first, second, Promise.resolve('they wait')])).toBe('they wait');
    stopping.abort();
    expect(await first).toEqual(ABORTED);
    // The connection ended before the PUBACK, and the publish is not wanted any more: it is not repeated.
    await contrary.stop();
    expect(await second).toEqual(ABORTED);
  });

  it('sends nothing if the signal was aborted before', async () => {
    await publishers.subscriber.subscribeAsync('out/a', { qos: 1 });
    const publisher = await publishers.open();
    expect(await publisher.publish('out/a', 'aborted', { signal: AbortSignal.abort() })).toEqual(ABORTED);
    expect(await publisher.publish('out/a', 'marker')).toEqual(ACKNOWLEDGED);
    await eventually('the subscriber receives a message', () => expect(publishers.received).not.toHaveLength(0));
    expect(publishers.received.map(({ text }) => text)).toEqual(['marker']);
  });
});
