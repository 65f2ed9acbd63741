/** The methods of each path, for the response to a request with a method that the path does not have. */
import type { Access } from '@app/platform';
import { pathOf } from '../http/problem-answer.js';

interface KnownPath {
  pattern: RegExp;
  methods: Map<string, Access>;
}

export class KnownPaths {
  private readonly paths = new Map<string, KnownPath>();

  /** `url`: as in Fastify, `:name` stands for one part of the path. */
  add(url: string, methods: string | readonly string[], access: Access): void {
    let known = this.paths.get(url);
    if (known === undefined) {
      const pattern = new RegExp(`^${url.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`);
      this.paths.set(url, (known = { pattern, methods: new Map() }));
    }
    for (const method of [methods].flat()) known.methods.set(method, access);
  }

  /** The visible methods of a path, sorted. */
  methodsOf(url: string | undefined, isVisible: (access: Access) => boolean): string[] {
    const path = pathOf(url);
    const found = new Set<string>();
    for (const { pattern, methods } of this.paths.values()) {
      if (!pattern.test(path)) continue;
      for (const [method, access] of methods) if (isVisible(access)) found.add(method);
    }
    return [...found].sort();
  }
}
