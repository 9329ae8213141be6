// @ts-check
/** The faces of a video by person. Nothing is changed in place. */

/** @typedef {import('../video/tracks.mjs').State} State */
/**
 * @typedef {'small' | 'turned' | 'blurred' | 'hidden' | 'no landmarks' | 'several' | 'may be another'} Doubt
 * @typedef {{ first_frame: number, last_frame: number, xyxy: number[], frames: number, doubt: Doubt | null, may_be: number | null, picture: string }} FaceTrack as the service sends it
 * @typedef {{ id: number, from: number, to: number, frames: number, doubt: Doubt | null, mayBe: number, picture: string }} Face a track of the video by its id; `mayBe`: the number of a person, or 0
 * @typedef {{ number: number, faces: readonly Face[] }} Person
 * @typedef {readonly Person[]} Persons
 */

/**
 * The persons that the service found among the tracks of a video. A face is left out where no track has its box: it was
 * moved by hand since.
 * @param {{ tracks: FaceTrack[] }[]} found @param {State} state
 * @returns {Persons}
 */
export function personsOf(found, state) {
  /** @type {Map<string, number>} */
  const ids = new Map();
  for (const { id, places } of state) for (const { at, region } of places) ids.set(`${at} ${region.xyxy}`, id);
  const made = found.map(({ tracks }, index) => ({
    number: index + 1,
    faces: tracks.flatMap((track) => {
      const id = ids.get(`${track.first_frame} ${track.xyxy}`);
      return id === undefined ? [] : [{
        id, from: track.first_frame, to: track.last_frame, frames: track.frames, doubt: track.doubt,
        mayBe: track.may_be === null ? 0 : track.may_be + 1, picture: track.picture,
      }];
    }),
  }));
  return made.filter(({ faces }) => faces.length);
}

/** Those of a person's tracks that still are in the video. @param {Person} person @param {State} state */
export const tracksOfPerson = ({ faces }, state) => {
  const ids = new Set(faces.map(({ id }) => id));
  return state.filter(({ id }) => ids.has(id));
};

/**
 * Whether a person is left visible everywhere, nowhere or in some tracks only.
 * @param {Person} person @param {State} state
 * @returns {'visible' | 'hidden' | 'mixed'}
 */
export function shownAs(person, state) {
  const tracks = tracksOfPerson(person, state), on = tracks.filter((track) => track.on).length;
  return on === 0 && tracks.length ? 'visible' : on === tracks.length ? 'hidden' : 'mixed';
}

/**
 * Make a person of one of a person's faces.
 * @param {Persons} persons @param {number} number of the person @param {number} id of the face's track
 * @returns {Persons}
 */
export function parted(persons, number, id) {
  const last = Math.max(0, ...persons.map((person) => person.number));
  return persons.flatMap((person) => {
    const face = person.faces.find((face) => face.id === id);
    if (person.number !== number || !face || person.faces.length < 2) return [person];
    return [{ ...person, faces: person.faces.filter((face) => face.id !== id) }, { number: last + 1, faces: [face] }];
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
