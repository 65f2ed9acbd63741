/** Topic templates (protocol, *Topics*): `{clientId}` is exactly one topic level. */
import { topicLevelProblem } from './client-id.js';

export const DEFAULT_IN_TOPIC = 'redhat/insights/in/{clientId}';
export const DEFAULT_OUT_TOPIC = 'redhat/insights/out/{clientId}';

const PLACEHOLDER = '{clientId}';

export class TopicTemplate {
  private readonly prefix: string;
  private readonly suffix: string;

  /** @throws Error if the placeholder is not one whole level, or the rest is not a plain topic */
  constructor(readonly template: string) {
    const levels = template.split('/');
    if (levels.filter((level) => level === PLACEHOLDER).length !== 1 || template.split(PLACEHOLDER).length !== 2) {
      throw new Error(`topic template "${template}" must contain ${PLACEHOLDER} exactly once, as a whole topic level`);
    }
    if (/[+#\p{Cc}]/u.test(template) || template.startsWith('$')) {
      throw new Error(
        `topic template "${template}" must not contain wildcards or control characters, nor begin with "$"`,
      );
    }
    const at = template.indexOf(PLACEHOLDER);
    this.prefix = template.slice(0, at);
    this.suffix = template.slice(at + PLACEHOLDER.length);
  }

  /** The filter that matches every client's topic. */
  get filter(): string {
    return `${this.prefix}+${this.suffix}`;
  }

  /**
   * A topic that the filter matches and that belongs to no client: its client id is empty. The service publishes to itself
   * on it. Undefined if the template is the placeholder alone, because a topic must not be empty.
   */
  get ownTopic(): string | undefined {
    const topic = this.topicOf('');
    return topic === '' ? undefined : topic;
  }

  /** Whether the filter matches the topic, also if its level is not a valid client id. */
  matches(topic: string): boolean {
    if (!topic.startsWith(this.prefix) || !topic.endsWith(this.suffix)) return false;
    const level = topic.length - this.prefix.length - this.suffix.length;
    return level >= 0 && !topic.slice(this.prefix.length, this.prefix.length + level).includes('/');
  }

  topicOf(clientId: string): string {
    return this.prefix + clientId + this.suffix;
  }

  /**
   * The client that a topic belongs to; `undefined` if the template does not match or the level cannot be an id. The id may
   * be reserved.
   */
  clientIdOf(topic: string): string | undefined {
    if (!topic.startsWith(this.prefix) || !topic.endsWith(this.suffix)) return undefined;
    const id = topic.slice(this.prefix.length, topic.length - this.suffix.length);
    return topicLevelProblem(id) === undefined ? id : undefined;
  }
}

/** Parses the comma-separated list of `STATUS_TOPICS`. @throws Error if it is empty, or one template is wrong or listed twice */
export function parseTopicTemplates(list: string): TopicTemplate[] {
  const templates = list
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => new TopicTemplate(part));
  if (templates.length === 0) throw new Error('at least one topic template is needed');
  if (new Set(templates.map((t) => t.template)).size !== templates.length) {
    throw new Error('the same topic template is listed twice');
  }
  return templates;
}
