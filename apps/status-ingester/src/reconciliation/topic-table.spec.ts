import { TopicDigest } from './topic-digest.js';
import { TopicTable } from './topic-table.js';

function digestOf(topic: string, key = Buffer.alloc(8)): string {
  const digest = new TopicDigest(key);
  digest.compute(topic);
  return `${digest.first} ${digest.second}`;
}

describe('the table of topics', () => {
  it('keeps what it knows of each topic while it grows', () => {
    const table = new TopicTable();
    const topics = Array.from({ length: 5000 }, (_, i) => `in/client-${i}`);
    for (const [i, topic] of topics.entries()) {
      const row = table.add(topic);
      table.columns.text[row] = i;
    }
    expect(topics.map((topic) => table.columns.text[table.find(topic)])).toEqual(topics.map((_, i) => i));
    expect(table.find('in/client-5000')).toBe(-1);
  });

  it('has one row for a topic that is added again', () => {
    const table = new TopicTable();
    const row = table.add('in/a');
    table.add('in/b');
    expect([table.add('in/a'), table.find('in/a')]).toEqual([row, row]);
  });

  it('has 0 in each column of a new row', () => {
    const table = new TopicTable();
    const row = table.add('in/a');
    const { text, passes, lastPass, isChanged } = table.columns;
    expect([text[row], passes[row], lastPass[row], isChanged[row]]).toEqual([0, 0, 0, 0]);
  });
});

describe('the digest of a topic', () => {
  it('differs if topics differ in one character, in their order or in their length', () => {
    const topics = ['', '\0', '\0\0', 'a', 'b', 'ab', 'ba', 'abc', 'abd', 'acb', 'aé', 'aĩ', 'a😀', 'a😁'];
    expect(new Set(topics.map((topic) => digestOf(topic))).size).toBe(topics.length);
  });

  it('depends on the key, in both halves', () => {
    const [first, second] = digestOf('in/a').split(' ');
    for (let byte = 0; byte < 8; byte++) {
      const key = Buffer.alloc(8);
      key[byte] = 1;
      const [otherFirst, otherSecond] = digestOf('in/a', key).split(' ');
      expect([otherFirst, otherSecond]).not.toEqual([first, otherSecond]);
      expect([otherFirst, otherSecond]).not.toEqual([otherFirst, second]);
    }
  });

  it('is that of HalfSipHash-1-3 over the UTF-16 units', () => {
    const key = Buffer.from('0001020304050607', 'hex');
    expect(['in/client-1', 'in/client-12'].map((topic) => digestOf(topic, key))).toEqual([
      '168187094 -571415967',
      '434947256 1550895372',
    ]);
  });

  it('changes about half of its bits if one bit of a topic changes', () => {
    const bits = (text: string): string =>
      text
        .split(' ')
        .map((half) => (Number(half) >>> 0).toString(2).padStart(32, '0'))
        .join('');
    let changed = 0;
    for (let i = 0; i < 100; i++) {
      const [a, b] = [bits(digestOf(`in/client-${i}x`)), bits(digestOf(`in/client-${i}y`))];
      changed += Array.from(a).filter((bit, at) => bit !== b[at]).length;
    }
    expect(changed / 100).toBeGreaterThan(28);
    expect(changed / 100).toBeLessThan(36);
  });
});
