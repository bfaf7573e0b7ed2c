/** Answers of control planes are checked like everything from outside: by a schema, with a message that says what is wrong. */
import type Type from 'typebox';
import { Compile } from 'typebox/compile';
import { findSchemaMistakes, formatPointer } from '../../policies/schema-mistakes.ts';
import { DiscoveryError } from './provider.ts';

/** A function that gives a value back as what the schema says, or throws a {@link DiscoveryError}. */
export function createAnswerParser<S extends Type.TSchema>(who: string, schema: S): (value: unknown) => Type.Static<S> {
  const checker = Compile(schema);
  return (value) => {
    const [mistake] = findSchemaMistakes(checker, value);
    if (mistake === undefined) return value as Type.Static<S>;
    const place = formatPointer(mistake.path);
    throw new DiscoveryError(
      `${who} answered what is no answer: ${place === '' ? '' : `${place}: `}${mistake.message}`,
    );
  };
}
