import fc from 'fast-check';
import { character } from '../../../test/support/unicode.js';
import { clientIdProblem } from './client-id.js';
import { DEFAULT_IN_TOPIC, DEFAULT_OUT_TOPIC, TopicTemplate, parseTopicTemplates } from './topics.js';

const IN = new TopicTemplate(DEFAULT_IN_TOPIC);

describe('TopicTemplate', () => {
  it('has the default topics of the protocol', () => {
    expect(DEFAULT_IN_TOPIC).toBe('redhat/insights/in/{clientId}');
    expect(DEFAULT_OUT_TOPIC).toBe('redhat/insights/out/{clientId}');
  });

  it.each([
    ['redhat/insights/in/{clientId}', 'redhat/insights/in/+', 'redhat/insights/in/host-1'],
    ['{clientId}', '+', 'host-1'],
    ['{clientId}/status', '+/status', 'host-1/status'],
    ['a/{clientId}/b', 'a/+/b', 'a/host-1/b'],
    ['/{clientId}/', '/+/', '/host-1/'],
    ['a b/é/{clientId}', 'a b/é/+', 'a b/é/host-1'],
  ])('makes filter and topic from %s, and finds the client in the topic', (template, filter, topic) => {
    const parsed = new TopicTemplate(template);
    expect(parsed.template).toBe(template);
    expect(parsed.filter).toBe(filter);
    expect(parsed.topicOf('host-1')).toBe(topic);
    expect(parsed.clientIdOf(topic)).toBe('host-1');
  });

  it.each([
    ['redhat/insights/in/{clientId}', 'redhat/insights/in/'],
    ['{clientId}/status', '/status'],
    ['a/{clientId}/b', 'a//b'],
    ['{clientId}', undefined],
  ])('has for %s a topic that its filter matches and that no client has: %s', (template, own) => {
    const parsed = new TopicTemplate(template);
    expect(parsed.ownTopic).toBe(own);
    if (own === undefined) return;
    expect(parsed.matches(own)).toBe(true);
    expect(parsed.clientIdOf(own)).toBeUndefined();
  });

  it('matches a topic if its filter does', () => {
    const parsed = new TopicTemplate('a/{clientId}/b');
    expect(['a/x/b', 'a//b', `a/${'x'.repeat(300)}/b`].every((topic) => parsed.matches(topic))).toBe(true);
    expect(['a/b', 'a/x/y/b', 'b/x/b', 'a/x/c', 'a/x'].some((topic) => parsed.matches(topic))).toBe(false);
  });

  it.each(['', 'redhat/insights/in', 'a/x{clientId}', 'a/{clientId}x', '{clientId}/{clientId}', 'a/{clientid}'])(
    'refuses the template %j, because the placeholder must be one whole level, once',
    (template) => {
      expect(() => new TopicTemplate(template)).toThrow(
        `topic template "${template}" must contain {clientId} exactly once, as a whole topic level`,
      );
    },
  );

  it('refuses a placeholder that is one level and also part of another', () => {
    expect(() => new TopicTemplate('a{clientId}/{clientId}')).toThrow(/exactly once/);
  });

  it.each(['+/{clientId}', 'a/#/{clientId}', 'a\0/{clientId}', 'a\n/{clientId}', '$share/group/{clientId}'])(
    'refuses the template %j, because it is not a plain topic',
    (template) => {
      expect(() => new TopicTemplate(template)).toThrow(
        /must not contain wildcards or control characters, nor begin with "\$"/,
      );
    },
  );

  it.each([
    ['of another template', 'redhat/insights/out/host-1'],
    ['without a client', 'redhat/insights/in/'],
    ['that ends too early', 'redhat/insights/in'],
    ['with one level too many', 'redhat/insights/in/host-1/x'],
    ['with another level in front', 'x/redhat/insights/in/host-1'],
    ['with a wildcard for a client', 'redhat/insights/in/+'],
    ['with a control character in the client', 'redhat/insights/in/a\u0007'],
    ['with a client id of 257 bytes', `redhat/insights/in/${'a'.repeat(257)}`],
  ])('finds no client in a topic %s', (_, topic) => {
    expect(IN.clientIdOf(topic)).toBeUndefined();
  });

  it('finds no client if the text after it belongs to another topic', () => {
    const template = new TopicTemplate('a/{clientId}/b');
    expect(template.clientIdOf('a/host-1/c')).toBeUndefined();
    expect(template.clientIdOf('a/host-1')).toBeUndefined();
    expect(template.clientIdOf('a/host-1/b')).toBe('host-1');
  });

  it('does not let the parts around the placeholder overlap', () => {
    const template = new TopicTemplate('a/{clientId}/a');
    expect(template.clientIdOf('a/a')).toBeUndefined();
    expect(template.clientIdOf('a//a')).toBeUndefined();
    expect(template.clientIdOf('a/a/a')).toBe('a');
  });

  it('finds the client of every topic that it makes', () => {
    const id = fc.string({ unit: character, maxLength: 64 }).filter((text) => clientIdProblem(text) === undefined);
    fc.assert(
      fc.property(
        id,
        fc.constantFrom('{clientId}', 'a/{clientId}', '{clientId}/a', 'a/{clientId}/a'),
        (client, text) => {
          const template = new TopicTemplate(text);
          expect(template.clientIdOf(template.topicOf(client))).toBe(client);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('finds only valid ids that give the same topic again', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '/', '+', '#', '\0', 'in'), maxLength: 8 }), (text) => {
        const template = new TopicTemplate('in/{clientId}/a');
        const id = template.clientIdOf(text);
        if (id === undefined) return;
        expect(clientIdProblem(id)).toBeUndefined();
        expect(template.topicOf(id)).toBe(text);
      }),
      { numRuns: 300 },
    );
  });
});

describe('parseTopicTemplates', () => {
  it('reads one template', () => {
    expect(parseTopicTemplates(DEFAULT_IN_TOPIC).map(({ template }) => template)).toEqual([DEFAULT_IN_TOPIC]);
  });

  it('reads several templates in their order, with any spaces and stray commas', () => {
    const parsed = parseTopicTemplates(' host/status/{clientId} ,, proxy/status/{clientId},');
    expect(parsed.map(({ template }) => template)).toEqual(['host/status/{clientId}', 'proxy/status/{clientId}']);
  });

  it.each(['', ' ', ',', ' , '])('refuses %j, because it holds no template', (list) => {
    expect(() => parseTopicTemplates(list)).toThrow('at least one topic template is needed');
  });

  it('refuses the same template twice', () => {
    expect(() => parseTopicTemplates('a/{clientId}, a/{clientId}')).toThrow('the same topic template is listed twice');
  });

  it('names the wrong template of several', () => {
    expect(() => parseTopicTemplates('a/{clientId},b/c')).toThrow('topic template "b/c"');
  });
});
