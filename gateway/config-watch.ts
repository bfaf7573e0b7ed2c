/** Tells when the configuration file changed. */
import { type FileWatch, type FileWatchOptions, watchFiles } from '../subgraphs/file-watch.ts';

export interface WatchConfigOptions<Config> extends Omit<FileWatchOptions<Config>, 'files'> {
  readonly file: string;
}

export type ConfigWatch = FileWatch;

/** Watches a configuration file until it is closed. Keeps no process alive. */
export function watchConfig<Config>({ file, ...options }: WatchConfigOptions<Config>): Promise<ConfigWatch> {
  return watchFiles({ ...options, files: [file] });
}
