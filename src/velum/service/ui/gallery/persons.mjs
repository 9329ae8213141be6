// @ts-check
/** Faces by person. Nothing is changed in place. */

/**
 * @typedef {'small' | 'turned' | 'blurred' | 'hidden' | 'no landmarks' | 'several' | 'may be another'} Doubt
 * @typedef {{ job: string, first_frame: number, last_frame: number, xyxy: number[], frames: number, doubt: Doubt | null, may_be: number | null, picture: string, seconds: number | null }} FaceTrack as the service sends it
 * @typedef {{ key: string, job: string, from: number, to: number, frames: number, doubt: Doubt | null, mayBe: number, picture: string, seconds: number | null }} Face `key`: of what is kept or hidden with it; `mayBe`: the number of a person, or 0
 * @typedef {{ number: number, faces: readonly Face[] }} Person
 * @typedef {readonly Person[]} Persons
 * @typedef {ReadonlyMap<string, boolean>} Hidden whether the face of each key is hidden
 */

/**
 * The persons that the service found. A face is left out where nothing has its box: it was moved by hand since.
 * @param {{ tracks: FaceTrack[] }[]} found @param {(track: FaceTrack) => string | undefined} keyOf
 * @returns {Persons}
 */
export function personsOf(found, keyOf) {
  const made = found.map(({ tracks }, index) => ({
    number: index + 1,
    faces: tracks.flatMap((track) => {
      const key = keyOf(track);
      return key === undefined ? [] : [{
        key, job: track.job, from: track.first_frame, to: track.last_frame, frames: track.frames, doubt: track.doubt,
        mayBe: track.may_be === null ? 0 : track.may_be + 1, picture: track.picture, seconds: track.seconds,
      }];
    }),
  }));
  return made.filter(({ faces }) => faces.length);
}

/** The keys of a person's faces that still exist. @param {Person} person @param {Hidden} hidden */
export const keysOf = ({ faces }, hidden) => [...new Set(faces.map(({ key }) => key))].filter((key) => hidden.has(key));

/**
 * Whether a person is left visible everywhere, nowhere or in some places only.
 * @param {Person} person @param {Hidden} hidden
 * @returns {'visible' | 'hidden' | 'mixed'}
 */
export function shownAs(person, hidden) {
  const keys = keysOf(person, hidden), on = keys.filter((key) => hidden.get(key)).length;
  return on === 0 && keys.length ? 'visible' : on === keys.length ? 'hidden' : 'mixed';
}

/**
 * Make a person of one of a person's faces.
 * @param {Persons} persons @param {number} number of the person @param {string} key of the face
 * @returns {Persons}
 */
export function parted(persons, number, key) {
  const last = Math.max(0, ...persons.map((person) => person.number));
  return persons.flatMap((person) => {
    const face = person.faces.find((face) => face.key === key);
    if (person.number !== number || !face || person.faces.length < 2) return [person];
    return [{ ...person, faces: person.faces.filter((face) => face.key !== key) }, { number: last + 1, faces: [face] }];
  });
}

/**
 * Make one of two persons, in the place of the first.
 * @param {Persons} persons @param {number} number @param {number} other
 * @returns {Persons}
 */
export function joined(persons, number, other) {
  const more = persons.find((person) => person.number === other);
  if (!more || number === other || !persons.some((person) => person.number === number)) return persons;
  return persons.filter((person) => person.number !== other).map((person) => (person.number === number ? { ...person, faces: [...person.faces, ...more.faces] } : person));
}
