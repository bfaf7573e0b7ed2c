/** The kinds of policy that are about whole messages of routes: what requests must be, and what is changed in them. */
import Type from 'typebox';
import type { Mistake } from './schema-mistakes.ts';
import { findTransformMistakes, TransformOptions } from './transform-options.ts';
import { findValidateMistakes, ValidateOptions } from './validate-options.ts';

/** At a service and a route. The most specific one counts, kind by kind and whole. */
export const messageProperties = {
  validate: Type.Optional(ValidateOptions),
  transform: Type.Optional(TransformOptions),
};

export interface MessageOptions {
  readonly validate?: ValidateOptions;
  readonly transform?: TransformOptions;
}

/** What is wrong at one level, by paths from there. */
export function findMessageMistakes({ validate, transform }: MessageOptions): Mistake[] {
  return [
    ...findValidateMistakes(validate).map(({ path, message }) => ({ path: ['validate', ...path], message })),
    ...findTransformMistakes(transform).map(({ path, message }) => ({ path: ['transform', ...path], message })),
  ];
}
