import type { IntakePacket } from '@app/broker';
import { LaneProgress } from './lane-progress.js';

const WINDOW = 3;
let progress: LaneProgress;

beforeEach(() => {
  progress = new LaneProgress(WINDOW);
});

/** Whether a connection that brings these payloads has progressed; those that end with ! have DUP. */
function connection(...texts: string[]): boolean {
  progress.connecting();
  progress.stored(texts.map(packet));
  return progress.hasProgressed;
}

function packet(text: string): IntakePacket {
  const [, content = '', mark] = /^(\w*)(!?)$/.exec(text) ?? [];
  return { topic: 'in/a', payload: Buffer.from(content), retain: false, dup: mark === '!', packetId: 1 };
}

describe('LaneProgress', () => {
  it('is none before a connection has brought anything', () => {
    expect(connection()).toBe(false);
    expect(connection('a')).toBe(true);
    expect(connection()).toBe(false);
  });

  it('is none if a connection brings what an earlier one has brought, with DUP or without', () => {
    expect(connection('a', 'b')).toBe(true);
    expect([connection('a!'), connection('a', 'b'), connection('b'), connection('a')]).toEqual(Array(4).fill(false));
    expect(connection('a', 'b', 'c')).toBe(true);
  });

  it('is none if a connection brings what another process had received, and the broker says so', () => {
    expect([connection('a!'), connection('a')]).toEqual([false, false]);
  });

  it('distinguishes topics', () => {
    connection('a');
    progress.connecting();
    progress.stored([{ ...packet('a'), topic: 'in/b' }]);
    expect(progress.hasProgressed).toBe(true);
  });

  it('is certain beyond the window, because the broker has received PUBACKs', () => {
    connection('a');
    expect(connection('a', 'a', 'a')).toBe(false);
    expect(connection('a', 'a', 'a', 'a')).toBe(true);
  });

  it('remembers as many contents as the window, and forgets the oldest', () => {
    connection('a', 'b', 'c');
    connection('d');
    expect(connection('b', 'c', 'd')).toBe(false);
    expect(connection('a')).toBe(true);
  });
});
