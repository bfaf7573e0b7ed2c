/** What a library threw, in words that the owner of a schema can do something with. */

/** The message of an error that was meant to be read; for accidents inside of the library what they come from. */
export function describeFailure(error: unknown): string {
  if (error instanceof RangeError) {
    return 'The schemas are too large, or their types refer to one another in too long a chain, to be composed';
  }
  if (error instanceof Error && !(error instanceof TypeError)) return error.message.slice(0, 2_000);
  return 'The composer failed over these schemas without saying why';
}
