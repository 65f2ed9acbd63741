/**
 * The words of a list that a word may be a form of: `retries` and `retried` of `retry`, `scopes` of `scope`, `mapped` of
 * `map`, `serving` of `serve`. The word itself is the first of them.
 */
export function stemsOf(word: string): string[] {
  const [, before = '', ending = ''] = /^(.{2,}?)(ies|ied|es|s|ed|ing)$/.exec(word) ?? [];
  switch (ending) {
    case '':
      return [word];
    case 's':
      return [word, ...stemsOf(before)];
    case 'ies':
    case 'ied':
      return [word, `${before}y`];
    case 'es':
      return [word, before, `${before}e`];
    default: {
      const undoubled = /(.)\1$/.test(before) ? [before.slice(0, -1)] : [];
      return [word, before, `${before}e`, ...undoubled];
    }
  }
}
