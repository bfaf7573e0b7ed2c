/** The kinds of policy that are about whole messages of routes: what requests must be, and what is changed in them. */
import Type from 'typebox';
import type { Mistake } from './schema-mistakes.ts';
import { findTransformMistakes, TransformOptions } from './transform-options.ts';

/** At a service and a route. The most specific one counts, kind by kind and whole. */
export const messageProperties = {
  transform: Type.Optional(TransformOptions),
};

export interface MessageOptions {
  readonly transform?: TransformOptions;
}

/** What is wrong at one level, by paths from there. */
export function findMessageMistakes({ transform }: MessageOptions): Mistake[] {
  return findTransformMistakes(transform).map(({ path, message }) => ({ path: ['transform', ...path], message }));
}
