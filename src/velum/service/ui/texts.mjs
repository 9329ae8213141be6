// @ts-check
/** All words of the page. Another language: add its texts to TEXTS; what it lacks is shown in English. */

const en = {
  ok: 'OK', cancel: 'Cancel', close: 'Close', delete: 'Delete', download: 'Download', skip: 'Skip to content',
  failed: 'Something went wrong.', 'failed.page': 'This page could not be loaded',
  'failed.network': 'The service cannot be reached. Is it running? Your files are still here: try again.',
  nav: 'Pages', 'nav.start': 'Hide', 'nav.jobs': 'Jobs', 'nav.models': 'Models',
  'nav.docs': 'API',
  'key.title': 'Sign in', 'key.why': 'This service is for those who have a key. Ask whoever runs it for one.',
  'key.refused': 'That key is not accepted here. Check it, or ask whoever runs the service for another.',
  'key.label': 'Key', 'key.keep': 'Keep it until this tab is closed', 'key.ok': 'Sign in',
  'state.waiting': 'Waiting', 'state.running': 'Working', 'state.done': 'Done', 'state.failed': 'Failed',
  'state.cancelled': 'Cancelled', 'state.dead': 'Given up', 'state.uploading': 'Sending', 'state.ready': 'Ready',
  'left.seconds': '{n} s left', 'left.minutes': '{n} min left',
  // start
  'start.title': 'Hide who and what is in your pictures', 'start.sub': 'Your files go to this server and nowhere else.',
  'start.drop': 'Drop photos, folders or videos here, or paste them', 'start.pick': 'Choose files',
  'start.folder': 'Choose a folder', 'start.kinds': 'JPEG, PNG, HEIC, WebP, TIFF, MP4, MOV, MKV and more',
  'start.files': 'Your files', 'start.what': 'What to hide', 'start.how': 'How to hide it', 'start.degree': 'Strength',
  'start.more': '{n} more things', 'start.search': 'Search', 'start.nothere': 'Dashed: no model for it on this server yet. It is fetched when first needed, or has to be put there.',
  'start.go': 'Hide in {n} files', 'start.go.one': 'Hide in 1 file', 'start.first': 'Add files to start',
  'start.nothing': 'Choose what to hide', 'start.added': '{n} files added', 'start.added.one': '1 file added',
  'start.skipped': '{n} files are neither photos nor videos and were left out',
  'start.skipped.one': 'One file is neither a photo nor a video and was left out',
  'start.summary': '{done} of {all} done', 'start.zip': 'Download all (zip)', 'start.look': 'Look',
  'start.ziplarge': 'Together these are too large for one zip file. Download them one by one.',
  'start.lookname': 'Look at {name}', 'start.downloadname': 'Download {name}', 'start.remove': 'Remove',
  'start.removename': 'Remove {name}', 'start.retry': 'Try again', 'start.none': 'Nothing found: please look',
  'technique.blacken': 'Black', 'technique.pixelate': 'Mosaic', 'technique.blur': 'Blur',
  'about.blacken': 'Nothing is left of what is under it. The safest.',
  'about.pixelate': 'Coarse squares. Softer to look at.', 'about.blur': 'Softest to look at.',
  'weak.blacken': 'Black that lets something through can be undone. Use full strength.',
  'weak.pixelate': 'Such small squares can leave a face recognisable.',
  'weak.blur': 'So little blur can leave a face recognisable.',
  'label.face': 'Faces', 'label.license_plate': 'Number plates', 'label.person': 'Whole people',
  'label.vehicle': 'Vehicles', 'label.text': 'Text', 'one.face': 'Face', 'one.license_plate': 'Number plate', 'one.person': 'Person',
  'one.vehicle': 'Vehicle', 'one.text': 'Text',
  // jobs
  'jobs.show': 'Show', 'jobs.all': 'All', 'jobs.more': 'Show more', 'jobs.none': 'No jobs yet',
  'jobs.none.state': 'No such jobs', 'jobs.none.why': 'What you hide appears here, with its progress and its result.',
  'jobs.open': 'Look', 'jobs.download': 'Download', 'jobs.cancel': 'Cancel', 'jobs.retry': 'Try again', 'jobs.delete': 'Delete',
  'jobs.open.name': 'Look at {name}', 'jobs.download.name': 'Download {name}', 'jobs.cancel.name': 'Cancel {name}',
  'jobs.retry.name': 'Try {name} again', 'jobs.delete.name': 'Delete {name}', 'jobs.delete.title': 'Delete this job?',
  'jobs.delete.why': '{name}, its result and its original are deleted from the server, for good.',
  // models
  'models.why': 'What looks for things in pictures. Models that are not here are fetched when first needed, where the server may do that.',
  'models.name': 'Model', 'models.finds': 'Finds', 'models.good': 'Good for', 'models.licence': 'Licence', 'models.here': 'Here',
  'models.default': 'default', 'models.many': '{some} and {n} more', 'models.yes': 'yes', 'models.no': 'not yet',
  // video
  'video.tracks': 'Who and what is followed', 'video.original': 'Original', 'video.before': 'Back one frame',
  'video.after': 'On one frame', 'video.doubt': 'Next doubtful moment', 'video.nodoubt': 'There is no doubtful moment.',
  'video.frame': 'Frame {n} of {all}', 'video.count': '{n} hidden, {off} left visible', 'video.go': 'Go to where {name} appears',
  'video.score': '{n} % sure', 'video.bar': 'Hidden from frame {from} to {to}. Click to go there.',
  'video.stale': 'The video does not show your changes yet.',
  'video.cannot': 'This browser cannot play the file. What is hidden can be changed all the same; download it to look at it.',
  // photo
  'viewer.label': 'Picture. Plus and minus zoom, 0 shows all of it, arrow keys move it.',
  'photo.back': 'Back to all files', 'photo.cannot': 'This cannot be shown', 'photo.deleted': 'It has been deleted.',
  'photo.unknown': 'There is no such job, or it is not yours. Jobs are deleted some time after their end.',
  'photo.video': 'Review the video', 'photo.isvideo': 'The video is ready. Review it frame by frame, or download it.',
  'photo.kind': 'Browsers cannot show this kind of picture. Download it to look at it.',
  'photo.tools': 'Tools', 'photo.regions': 'What is hidden', 'photo.split': 'How much of the original is shown',
  'photo.look': 'Look', 'photo.correct': 'Correct', 'photo.hold': 'Hold to see the original',
  'photo.tool.select': 'Select, move, resize', 'photo.tool.box': 'Draw a box', 'photo.tool.polygon': 'Draw an outline',
  'photo.tool.brush': 'Paint', 'photo.undo': 'Undo', 'photo.redo': 'Redo', 'photo.out': 'Zoom out',
  'photo.in': 'Zoom in', 'photo.fit': 'All', 'photo.one': '1:1, one pixel to one',
  'photo.count': '{n} places hidden', 'photo.count.one': '1 place hidden', 'photo.off': '{n} left visible',
  'photo.none': 'Nothing was found. Look closely: what nobody found is still visible.',
  'photo.alloff': 'Everything is switched off: nothing will be hidden.',
  'photo.pages': 'This file has {n} pages or frames. The first is shown and corrected; the others stay as they are.',
  'photo.nosource': 'The original is not here any more, or not for you, so this can be looked at but not corrected.',
  'photo.stale': 'The picture does not show your corrections yet.', 'photo.render': 'Hide it this way',
  'photo.rendering': 'Hiding …', 'photo.rendered': 'Done: the picture shows your corrections.',
  'photo.others': 'Someone else has corrected this picture meanwhile. Load the page again to see it.',
  'photo.warnings': '{n} remarks', 'photo.warnings.one': '1 remark', 'photo.brush': 'Size of the brush',
  'photo.close': 'Close the outline', 'photo.label': 'What it is', 'photo.newlabel': 'What you draw is',
  'photo.middle': 'Add a box in the middle', 'photo.turnoff': 'Leave visible', 'photo.turnon': 'Hide',
  'photo.remove': 'Remove', 'photo.similar': 'Same for {n} similar ones', 'photo.similar.one': 'Same for 1 similar one',
  'photo.drawone': 'Nothing here yet. Draw a box over what should be hidden.', 'photo.empty': 'No places.',
  'photo.hidename': 'Hide {name}', 'photo.leave': 'Leave without hiding it this way?',
  'photo.lost': 'Your corrections of this picture would be lost.', 'photo.leaveok': 'Leave', 'photo.stay': 'Stay',
  'photo.hint.select': 'Click a place to choose it. Drag it, or its corners. Arrow keys move it, with Shift they resize it.',
  'photo.hint.box': 'Drag over what should be hidden.', 'photo.hint.brush': 'Paint over what should be hidden.',
  'photo.hint.polygon': 'Click around it; a double click, Enter or the first point closes the outline.',
  'found.detected': 'found', 'found.manual': 'by hand', 'found.interpolated': 'filled in', 'found.back-filled': 'traced back',
  // video
  // review
  // jobs
  // models
  // settings
};

/** @type {Partial<typeof en> & Record<string, string>} */
const de = {
  ok: 'OK', cancel: 'Abbrechen', close: 'Schließen', delete: 'Löschen', download: 'Herunterladen',
  skip: 'Zum Inhalt', failed: 'Etwas ist schiefgegangen.', 'failed.page': 'Diese Seite konnte nicht geladen werden',
  'failed.network': 'Der Dienst ist nicht erreichbar. Läuft er? Ihre Dateien sind noch hier: versuchen Sie es erneut.',
  nav: 'Seiten', 'nav.start': 'Start', 'nav.jobs': 'Aufträge',
  'nav.models': 'Modelle', 'nav.docs': 'API',
  'jobs.show': 'Anzeigen', 'jobs.all': 'Alle', 'jobs.more': 'Mehr anzeigen', 'jobs.none': 'Noch keine Aufträge',
  'jobs.none.state': 'Keine solchen Aufträge', 'jobs.none.why': 'Was Sie verbergen, erscheint hier, mit Fortschritt und Ergebnis.',
  'jobs.open': 'Ansehen', 'jobs.download': 'Herunterladen', 'jobs.cancel': 'Abbrechen', 'jobs.retry': 'Noch einmal', 'jobs.delete': 'Löschen',
  'jobs.open.name': '{name} ansehen', 'jobs.download.name': '{name} herunterladen', 'jobs.cancel.name': '{name} abbrechen',
  'jobs.retry.name': '{name} noch einmal versuchen', 'jobs.delete.name': '{name} löschen', 'jobs.delete.title': 'Diesen Auftrag löschen?',
  'jobs.delete.why': '{name}, das Ergebnis und das Original werden endgültig vom Server gelöscht.',
  'models.why': 'Was in Bildern sucht. Modelle, die noch nicht da sind, werden geholt, wenn sie gebraucht werden und der Server das darf.',
  'models.name': 'Modell', 'models.finds': 'Findet', 'models.good': 'Gut für', 'models.licence': 'Lizenz', 'models.here': 'Da',
  'models.default': 'Standard', 'models.many': '{some} und {n} weitere', 'models.yes': 'ja', 'models.no': 'noch nicht',
  'video.tracks': 'Wer und was verfolgt wird', 'video.original': 'Original', 'video.before': 'Ein Bild zurück',
  'video.after': 'Ein Bild weiter', 'video.doubt': 'Nächste zweifelhafte Stelle', 'video.nodoubt': 'Es gibt keine zweifelhafte Stelle.',
  'video.frame': 'Bild {n} von {all}', 'video.count': '{n} verborgen, {off} sichtbar gelassen', 'video.go': 'Dorthin, wo {name} erscheint',
  'video.score': '{n} % sicher', 'video.bar': 'Verborgen von Bild {from} bis {to}. Klicken, um dorthin zu springen.',
  'video.stale': 'Das Video zeigt Ihre Änderungen noch nicht.',
  'video.cannot': 'Dieser Browser kann die Datei nicht abspielen. Was verborgen ist, lässt sich trotzdem ändern; zum Ansehen laden Sie sie herunter.',
  'key.title': 'Anmelden',
  'key.why': 'Dieser Dienst braucht einen Schlüssel. Fragen Sie, wer ihn betreibt.',
  'key.refused': 'Dieser Schlüssel gilt hier nicht. Prüfen Sie ihn, oder fragen Sie nach einem anderen.',
  'key.label': 'Schlüssel', 'key.keep': 'Behalten, bis dieser Tab geschlossen wird', 'key.ok': 'Anmelden',
  'state.waiting': 'Wartet', 'state.running': 'In Arbeit', 'state.done': 'Fertig', 'state.failed': 'Fehlgeschlagen',
  'state.cancelled': 'Abgebrochen', 'state.dead': 'Aufgegeben', 'state.uploading': 'Wird gesendet',
  'state.ready': 'Bereit', 'left.seconds': 'noch {n} s', 'left.minutes': 'noch {n} min',
  // start
  'start.title': 'Unkenntlich machen, wer und was auf Ihren Bildern ist',
  'start.sub': 'Ihre Dateien gehen an diesen Server und sonst nirgendwohin.',
  'start.drop': 'Fotos, Ordner oder Videos hier ablegen oder einfügen', 'start.pick': 'Dateien wählen',
  'start.folder': 'Ordner wählen', 'start.kinds': 'JPEG, PNG, HEIC, WebP, TIFF, MP4, MOV, MKV und mehr',
  'start.files': 'Ihre Dateien', 'start.what': 'Was', 'start.how': 'Wie', 'start.degree': 'Stärke',
  'start.more': '{n} weitere Dinge', 'start.search': 'Suchen', 'start.nothere': 'Gestrichelt: dafür ist noch kein Modell auf diesem Server. Es wird beim ersten Mal geholt oder muss dort abgelegt werden.',
  'start.go': '{n} Dateien bearbeiten', 'start.go.one': '1 Datei bearbeiten', 'start.first': 'Zuerst Dateien hinzufügen',
  'start.nothing': 'Wählen Sie, was unkenntlich werden soll', 'start.added': '{n} Dateien hinzugefügt',
  'start.added.one': '1 Datei hinzugefügt', 'start.skipped': '{n} Dateien sind weder Fotos noch Videos und fehlen',
  'start.skipped.one': 'Eine Datei ist weder Foto noch Video und fehlt', 'start.summary': '{done} von {all} fertig',
  'start.zip': 'Alle herunterladen (zip)', 'start.look': 'Ansehen',
  'start.ziplarge': 'Zusammen sind sie zu groß für eine zip-Datei. Laden Sie sie einzeln herunter.',
  'start.lookname': '{name} ansehen', 'start.downloadname': '{name} herunterladen', 'start.remove': 'Entfernen',
  'start.removename': '{name} entfernen', 'start.retry': 'Noch einmal', 'start.none': 'Nichts gefunden: bitte ansehen',
  'technique.blacken': 'Schwarz', 'technique.pixelate': 'Mosaik', 'technique.blur': 'Unscharf',
  'about.blacken': 'Darunter bleibt nichts übrig. Am sichersten.',
  'about.pixelate': 'Grobe Quadrate. Angenehmer anzusehen.', 'about.blur': 'Am angenehmsten anzusehen.',
  'weak.blacken': 'Schwarz, das etwas durchlässt, lässt sich rückgängig machen. Nehmen Sie die volle Stärke.',
  'weak.pixelate': 'So kleine Quadrate können ein Gesicht erkennbar lassen.',
  'weak.blur': 'So wenig Unschärfe kann ein Gesicht erkennbar lassen.',
  'label.face': 'Gesichter', 'label.license_plate': 'Kennzeichen', 'label.person': 'Ganze Menschen',
  'label.vehicle': 'Fahrzeuge', 'label.text': 'Text', 'one.face': 'Gesicht', 'one.license_plate': 'Kennzeichen', 'one.person': 'Mensch',
  'one.vehicle': 'Fahrzeug', 'one.text': 'Text',
  // photo
  'viewer.label': 'Bild. Plus und Minus vergrößern und verkleinern, 0 zeigt alles, Pfeiltasten verschieben.',
  'photo.back': 'Zurück zu allen Dateien', 'photo.cannot': 'Das kann nicht gezeigt werden',
  'photo.deleted': 'Es wurde gelöscht.',
  'photo.unknown': 'Diesen Auftrag gibt es nicht, oder er gehört Ihnen nicht. Aufträge werden einige Zeit nach ihrem Ende gelöscht.',
  'photo.video': 'Video prüfen', 'photo.isvideo': 'Das Video ist fertig. Prüfen Sie es Bild für Bild, oder laden Sie es herunter.',
  'photo.kind': 'Browser können diese Art von Bild nicht zeigen. Laden Sie es herunter, um es anzusehen.',
  'photo.tools': 'Werkzeuge', 'photo.regions': 'Was unkenntlich ist', 'photo.split': 'Wie viel vom Original zu sehen ist',
  'photo.look': 'Ansehen', 'photo.correct': 'Korrigieren', 'photo.hold': 'Halten: Original',
  'photo.tool.select': 'Auswählen, verschieben, Größe ändern', 'photo.tool.box': 'Rechteck ziehen',
  'photo.tool.polygon': 'Umriss zeichnen', 'photo.tool.brush': 'Malen', 'photo.undo': 'Rückgängig',
  'photo.redo': 'Wiederholen', 'photo.out': 'Verkleinern', 'photo.in': 'Vergrößern', 'photo.fit': 'Alles',
  'photo.one': '1:1, ein Pixel zu einem', 'photo.count': '{n} Stellen unkenntlich', 'photo.count.one': '1 Stelle unkenntlich',
  'photo.off': '{n} bleiben sichtbar', 'photo.off.one': '1 bleibt sichtbar',
  'photo.none': 'Es wurde nichts gefunden. Sehen Sie genau hin: was niemand fand, ist noch zu sehen.',
  'photo.alloff': 'Alles ist ausgeschaltet: nichts wird unkenntlich.',
  'photo.pages': 'Diese Datei hat {n} Seiten oder Bilder. Gezeigt und korrigiert wird das erste; die anderen bleiben, wie sie sind.',
  'photo.nosource': 'Das Original ist nicht mehr hier oder nicht für Sie: Sie können dies ansehen, aber nicht korrigieren.',
  'photo.stale': 'Das Bild zeigt Ihre Korrekturen noch nicht.', 'photo.render': 'So unkenntlich machen',
  'photo.rendering': 'In Arbeit …', 'photo.rendered': 'Fertig: das Bild zeigt Ihre Korrekturen.',
  'photo.others': 'Jemand anders hat dieses Bild inzwischen korrigiert. Laden Sie die Seite neu, um es zu sehen.',
  'photo.warnings': '{n} Hinweise', 'photo.warnings.one': '1 Hinweis', 'photo.brush': 'Größe des Pinsels',
  'photo.close': 'Umriss schließen', 'photo.label': 'Was es ist', 'photo.newlabel': 'Was Sie zeichnen, ist',
  'photo.middle': 'Rechteck in der Mitte hinzufügen', 'photo.turnoff': 'Sichtbar lassen', 'photo.turnon': 'Unkenntlich machen',
  'photo.remove': 'Entfernen', 'photo.similar': 'Ebenso für {n} ähnliche', 'photo.similar.one': 'Ebenso für 1 ähnliche',
  'photo.drawone': 'Noch nichts. Ziehen Sie ein Rechteck über das, was unkenntlich werden soll.', 'photo.empty': 'Keine Stellen.',
  'photo.hidename': '{name} unkenntlich machen', 'photo.leave': 'Verlassen, ohne es so unkenntlich zu machen?',
  'photo.lost': 'Ihre Korrekturen an diesem Bild gingen verloren.', 'photo.leaveok': 'Verlassen', 'photo.stay': 'Bleiben',
  'photo.hint.select': 'Klicken Sie eine Stelle an. Ziehen Sie sie oder ihre Ecken. Pfeiltasten verschieben, mit Umschalt ändern sie die Größe.',
  'photo.hint.box': 'Ziehen Sie über das, was unkenntlich werden soll.', 'photo.hint.brush': 'Malen Sie über das, was unkenntlich werden soll.',
  'photo.hint.polygon': 'Klicken Sie rundherum; Doppelklick, Eingabe oder der erste Punkt schließt den Umriss.',
  'found.detected': 'gefunden', 'found.manual': 'von Hand', 'found.interpolated': 'ergänzt', 'found.back-filled': 'zurückverfolgt',
  // video
  // review
  // jobs
  // models
  // settings
};

/** @type {Record<string, Partial<Record<string, string>>>} */
export const TEXTS = { en, de };

/**
 * The first language that the reader prefers and the page has.
 * @param {readonly string[]} preferred
 */
export const languageOf = (preferred) => preferred.map((one) => one.slice(0, 2)).find((one) => one in TEXTS) ?? 'en';

export const language = languageOf(globalThis.navigator?.languages ?? []);

/**
 * The text for a key, with values put in for {name}. Of texts with a key and "key.one", the latter is for n = 1.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @param {string} [inLanguage]
 * @returns {string}
 */
export function t(key, values = {}, inLanguage = language) {
  const own = TEXTS[inLanguage] ?? {};
  const one = `${key}.one`;
  const text = (values.n === 1 ? own[one] : undefined) ?? own[key] ?? TEXTS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));
}

/**
 * Time left, roughly.
 * @param {number | null} seconds
 */
export function left(seconds) {
  if (seconds === null) return '';
  return seconds < 90 ? t('left.seconds', { n: Math.ceil(seconds) }) : t('left.minutes', { n: Math.round(seconds / 60) });
}
