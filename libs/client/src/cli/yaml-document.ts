/** A value as a YAML document. */
import { Document, visit } from 'yaml';
import { hasUnsafe, UNSAFE } from './printable.js';

/** Begins with `---`, so that several documents can follow each other. The escapes are those of YAML: the value is the same. */
export function yamlDocument(value: unknown): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar: (_, node) => {
      // Only such a text may have escapes.
      if (typeof node.value === 'string' && hasUnsafe(node.value)) node.type = 'QUOTE_DOUBLE';
    },
  });
  const text = document.toString({ lineWidth: 0 }).trimEnd();
  return `---\n${text.replace(UNSAFE, (char) => (char === '\n' ? char : escapeOf(char)))}`;
}

function escapeOf(char: string): string {
  const code = (char.codePointAt(0) ?? 0).toString(16);
  return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`;
}
