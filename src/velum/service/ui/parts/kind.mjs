// @ts-check
import { isContainer, isVideo } from '../start/file_types.mjs';
import { t } from '../i18n.mjs';

/** What a job's file is, how long, and who handed it in. @param {import('../api.mjs').Job} job */
export function kindOf({ name, frames, owner }) {
  const end = name.includes('.') ? name.slice(name.lastIndexOf('.') + 1).toUpperCase() : '';
  return [end, frames.total && frames.total > 1 ? t(isVideo(name) ? 'jobs.frames' : isContainer(name) ? 'jobs.pictures' : 'jobs.pages', { n: frames.total }) : '', owner === 'anonymous' ? '' : owner].filter(Boolean).join(' · ');
}
