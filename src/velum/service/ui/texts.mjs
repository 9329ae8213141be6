// @ts-check
/** All words of the page. Another language: add its texts to TEXTS; what it lacks is shown in English. */

const en = {
  ok: 'OK', cancel: 'Cancel', close: 'Close', delete: 'Delete', download: 'Download', skip: 'Skip to content',
  failed: 'Something went wrong.', 'failed.page': 'This page could not be loaded',
  'failed.network': 'The service cannot be reached. Is it running? Your files are still here: try again.',
  nav: 'Pages', 'nav.start': 'Hide', 'nav.jobs': 'Jobs', 'nav.review': 'Review', 'nav.models': 'Models', 'nav.settings': 'Settings',
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
  'technique.own': 'How it is hidden', 'technique.plan': 'As the plan says',
  'technique.blacken': 'Black', 'technique.pixelate': 'Mosaic', 'technique.blur': 'Blur',
  'about.blacken': 'Nothing is left of what is under it. The safest.',
  'about.pixelate': 'Coarse squares. Softer to look at.', 'about.blur': 'Softest to look at.',
  'weak.blacken': 'Black that lets something through can be undone. Use full strength.',
  'weak.pixelate': 'Such small squares can leave a face recognisable.',
  'weak.blur': 'So little blur can leave a face recognisable.',
  'label.face': 'Faces', 'label.license_plate': 'Number plates', 'label.person': 'Whole people',
  'label.vehicle': 'Vehicles', 'label.text': 'Text', 'one.face': 'Face', 'one.license_plate': 'Number plate', 'one.person': 'Person',
  'one.vehicle': 'Vehicle', 'one.text': 'Text',
  // models
  'models.why': 'What looks for things in pictures. Models that are not here are fetched when first needed, where the server may do that.',
  'models.name': 'Model', 'models.finds': 'Finds', 'models.good': 'Good for', 'models.licence': 'Licence', 'models.here': 'Here',
  'models.try': 'Try one', 'models.tryhow': 'Nothing of the picture is kept. Models that are not here yet cannot be tried.', 'models.pick': 'Choose a picture',
  'models.trying': 'Looking …', 'models.found': '{n} found, in {ms} ms', 'models.found.one': '1 found, in {ms} ms',
  'settings.denied': 'This takes a key with the scope operate.',
  'keys.title': 'Keys', 'keys.why': 'Who may use the service, and for what. A key is shown once, when it is made.',
  'keys.open': 'Nobody is asked for a key: whoever reaches this service may use it. Make the first key on its machine, and start it anew:',
  'keys.name': 'Name', 'keys.scopes': 'May', 'keys.state': 'State', 'keys.until': 'Until', 'keys.never': 'never ends', 'keys.valid': 'valid',
  'keys.expired': 'expired', 'keys.revoked': 'taken back', 'keys.revoke': 'Take back', 'keys.revokename': 'Take back the key of {name}',
  'keys.revokewhy': 'It is refused from the next request on. This cannot be undone; a new key can be made.',
  'keys.new': 'New key', 'keys.days': 'Days until it ends (empty: never)', 'keys.make': 'Make a key', 'keys.noscope': 'Choose what it may do.',
  'keys.once': 'This is the key. Copy it now: it is not shown again.', 'keys.copy': 'Copy', 'keys.copied': 'Copied.',
  'scope.anonymize': 'hide', 'scope.review': 'review', 'scope.operate': 'operate',
  'urls.title': 'Inference APIs', 'urls.why': 'Other servers whose models can be used, as by clients of the BMW Anonymization API. An address must answer to be added.',
  'urls.none': 'None yet.', 'urls.new': 'Address', 'urls.add': 'Add', 'urls.remove': 'Remove', 'urls.removename': 'Remove {url}',
  'models.default': 'default', 'models.many': '{some} and {n} more', 'models.yes': 'yes', 'models.no': 'not yet',
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
  'video.back': 'Back to review', 'video.timeline': 'Timeline of all tracks', 'video.picture': 'Video with what is hidden',
  'video.span': 'How long before and after', 'video.span.follow': 'Follow it',
  'video.following': 'Following it through the video …', 'video.followed': 'Followed from frame {from} to {to}.', 'video.lost': 'It could not be followed, and stays for 1 s before and after: {why}', 'video.span.0': 'In this frame only', 'video.span.n': '{n} s before and after',
  'video.tool.switch': 'Switch', 'video.tool.move': 'Move', 'video.tool.draw': 'Draw', 'video.preview': 'Preview as black',
  'video.merge': 'Merge with …', 'video.merge.with': 'Merge with', 'video.render': 'Hide it this way',
  'video.render.how': 'Makes the video anew with these tracks', 'video.doubt': 'Next doubtful moment', 'video.doubt.how': 'N; P: the one before',
  'video.right': 'Right, next track', 'video.right.how': 'K; X switches it', 'video.decided': 'decided', 'video.decided.n': '{n} decided',
  'video.alldecided': 'Every track is decided.',
  'video.undo': 'Undo', 'video.undo.how': 'Ctrl+Z', 'video.redo': 'Redo', 'video.redo.how': 'Ctrl+Y',
  'video.split': 'Split here', 'video.split.how': 'One track before this frame, another from it on', 'video.extend': 'Extend to here',
  'video.extend.how': 'It stays where it was last seen up to this frame; a hole is closed', 'video.remove': 'Delete', 'video.remove.how': 'Delete the track',
  'video.back.frame': 'One frame back', 'video.forward': 'One frame forward', 'video.play': 'Play or pause',
  'video.kind.detected': 'found', 'video.kind.filled': 'filled in', 'video.kind.manual': 'by hand',
  'video.keys': 'Arrows: frame · N: doubtful · K: right · X: on or off · B: new box · Alt+arrows: move it',
  'video.training': 'Save as training data', 'video.training.what': 'Boxes as they are here, without pictures: cut those out of the original.',
  'video.nothing': 'Nothing to change here: choose another frame or track. Tracks that are in the same frame cannot be merged.',
  'video.nodoubt': 'No more doubtful moments that way.', 'video.where': 'Frame {at} of {all} · {clock}',
  'video.count': '{n} tracks hidden', 'video.count.one': '1 track hidden', 'video.rendered': 'Done: the video hides it this way now.',
  'video.making': 'This browser cannot play this kind of video. A preview is made for it: {done} % …',
  'video.cannot': 'This browser cannot play this kind of video. Tracks can be switched, extended and deleted here, but not seen.',
  'video.times': 'This file does not tell when each frame is shown. They are taken to follow each other evenly, so a frame may be off by one.',
  'video.why.low': 'Frame {at}: {name} was found with a low score.', 'video.why.filled': 'Frame {at}: {name} is filled in from here.',
  'video.why.gap': 'Frame {at}: {name} is not hidden from here for a while.', 'video.why.start': 'Frame {at}: {name} begins.', 'video.why.end': 'Frame {at}: {name} ends.',
  // review
  'review.sub': 'Finished files, those to look at first at the top.', 'review.none': 'Nothing to review',
  'review.none.how': 'Finished photos and videos that nobody has approved yet show here.', 
  'review.approve': 'Approve', 'review.approve.name': 'Approve {name}', 'review.all': 'Approve all {n}', 'review.all.one': 'Approve it',
  'review.approve.next': 'Approve, next', 'review.left': '{n} files are waiting', 'review.left.one': '1 file is waiting',
  'review.open': '{n} tracks were not decided', 'review.open.one': '1 track was not decided', 'review.open.what': 'Approve it all the same?',
  'review.all.sure': 'Approve {n} files?', 'review.all.sure.one': 'Approve 1 file?', 'review.all.what': 'Your name is kept with each of them as having looked at it.',
  'review.eyes': '{n} of {all} have approved it: {who}', 'review.approved': '{n} approved', 'review.name': 'Name', 'review.why': 'Why look', 'review.fine': 'Nothing doubtful',
  'review.why.nothing': 'nothing found', 'review.why.warnings': 'remarks', 'review.why.low': 'low scores', 'review.why.filled': 'much filled in', 'review.why.short': 'short tracks',
  // jobs
  'jobs.all': 'All', 'jobs.search': 'Search by name', 'jobs.name': 'Name', 'jobs.state': 'State', 'jobs.submitted': 'Handed in', 'jobs.actions': 'Actions',
  'jobs.more': 'Show more', 'jobs.none': 'No jobs yet', 'jobs.none.how': 'What you have hidden shows here until it is deleted.', 'jobs.begin': 'Hide something',
  'jobs.nomatch': 'No such jobs', 'jobs.nomatch.how': 'Try another name or state.', 'jobs.count': '{n} jobs', 'jobs.count.one': '1 job', 'jobs.fps': '{n} frames/s',
  'jobs.download': 'Download', 'jobs.download.name': 'Download {name}', 'jobs.cancel': 'Cancel', 'jobs.cancel.name': 'Cancel {name}',
  'jobs.retry': 'Try again', 'jobs.retry.name': 'Try {name} again', 'jobs.delete': 'Delete', 'jobs.delete.name': 'Delete {name}',
  'jobs.delete.sure': 'Delete {name}?', 'jobs.delete.what': 'Its original, its result and its report are deleted from the server.',
  // models
  // settings
};

/** @type {Partial<typeof en> & Record<string, string>} */
const de = {
  ok: 'OK', cancel: 'Abbrechen', close: 'Schließen', delete: 'Löschen', download: 'Herunterladen',
  skip: 'Zum Inhalt', failed: 'Etwas ist schiefgegangen.', 'failed.page': 'Diese Seite konnte nicht geladen werden',
  'failed.network': 'Der Dienst ist nicht erreichbar. Läuft er? Ihre Dateien sind noch hier: versuchen Sie es erneut.',
  nav: 'Seiten', 'nav.start': 'Start', 'nav.jobs': 'Aufträge', 'nav.review': 'Prüfen',
  'nav.models': 'Modelle', 'nav.settings': 'Einstellungen', 'nav.docs': 'API',
  'models.why': 'Was in Bildern sucht. Modelle, die noch nicht da sind, werden geholt, wenn sie gebraucht werden und der Server das darf.',
  'models.name': 'Modell', 'models.finds': 'Findet', 'models.good': 'Gut für', 'models.licence': 'Lizenz', 'models.here': 'Da',
  'models.try': 'Eines ausprobieren', 'models.tryhow': 'Vom Bild wird nichts behalten. Modelle, die noch nicht da sind, lassen sich nicht ausprobieren.', 'models.pick': 'Bild wählen',
  'models.trying': 'Sucht …', 'models.found': '{n} gefunden, in {ms} ms', 'models.found.one': '1 gefunden, in {ms} ms',
  'settings.denied': 'Dafür braucht es einen Schlüssel mit dem Recht „betreiben“.',
  'keys.title': 'Schlüssel', 'keys.why': 'Wer den Dienst wofür benutzen darf. Ein Schlüssel wird einmal gezeigt: wenn er entsteht.',
  'keys.open': 'Niemand wird nach einem Schlüssel gefragt: wer diesen Dienst erreicht, darf ihn benutzen. Machen Sie den ersten auf seiner Maschine, und starten Sie ihn neu:',
  'keys.name': 'Name', 'keys.scopes': 'Darf', 'keys.state': 'Zustand', 'keys.until': 'Bis', 'keys.never': 'endet nicht', 'keys.valid': 'gültig',
  'keys.expired': 'abgelaufen', 'keys.revoked': 'zurückgenommen', 'keys.revoke': 'Zurücknehmen', 'keys.revokename': 'Schlüssel von {name} zurücknehmen',
  'keys.revokewhy': 'Er wird ab der nächsten Anfrage abgelehnt. Das lässt sich nicht rückgängig machen; ein neuer Schlüssel schon.',
  'keys.new': 'Neuer Schlüssel', 'keys.days': 'Tage, bis er endet (leer: nie)', 'keys.make': 'Schlüssel machen', 'keys.noscope': 'Wählen Sie, was er darf.',
  'keys.once': 'Das ist der Schlüssel. Kopieren Sie ihn jetzt: er wird nicht noch einmal gezeigt.', 'keys.copy': 'Kopieren', 'keys.copied': 'Kopiert.',
  'scope.anonymize': 'unkenntlich machen', 'scope.review': 'prüfen', 'scope.operate': 'betreiben',
  'urls.title': 'Inferenz-APIs', 'urls.why': 'Andere Server, deren Modelle benutzt werden können, wie von Clients der BMW Anonymization API. Eine Adresse muss antworten, um aufgenommen zu werden.',
  'urls.none': 'Noch keine.', 'urls.new': 'Adresse', 'urls.add': 'Hinzufügen', 'urls.remove': 'Entfernen', 'urls.removename': '{url} entfernen',
  'models.default': 'Standard', 'models.many': '{some} und {n} weitere', 'models.yes': 'ja', 'models.no': 'noch nicht',
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
  'technique.own': 'Wie es unkenntlich wird', 'technique.plan': 'Wie der Plan es sagt',
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
  'video.back': 'Zurück zur Prüfung', 'video.timeline': 'Zeitachse aller Spuren', 'video.picture': 'Video mit dem, was unkenntlich ist',
  'video.span': 'Wie lange davor und danach', 'video.span.follow': 'Folgen',
  'video.following': 'Wird durch das Video verfolgt …', 'video.followed': 'Verfolgt von Bild {from} bis {to}.', 'video.lost': 'Es ließ sich nicht verfolgen und bleibt 1 s davor und danach: {why}', 'video.span.0': 'Nur in diesem Bild', 'video.span.n': '{n} s davor und danach',
  'video.tool.switch': 'Schalten', 'video.tool.move': 'Verschieben', 'video.tool.draw': 'Zeichnen', 'video.preview': 'Vorschau in Schwarz',
  'video.merge': 'Verbinden mit …', 'video.merge.with': 'Verbinden mit', 'video.render': 'So unkenntlich machen',
  'video.render.how': 'Macht das Video mit diesen Spuren neu', 'video.doubt': 'Nächste zweifelhafte Stelle', 'video.doubt.how': 'N; P: die vorige',
  'video.right': 'Stimmt, nächste Spur', 'video.right.how': 'K; X schaltet um', 'video.decided': 'entschieden', 'video.decided.n': '{n} entschieden',
  'video.alldecided': 'Jede Spur ist entschieden.',
  'video.undo': 'Rückgängig', 'video.undo.how': 'Strg+Z', 'video.redo': 'Wiederholen', 'video.redo.how': 'Strg+Y',
  'video.split': 'Hier teilen', 'video.split.how': 'Eine Spur vor diesem Bild, eine andere ab ihm', 'video.extend': 'Bis hierher',
  'video.extend.how': 'Sie bleibt bis zu diesem Bild, wo sie zuletzt war; eine Lücke wird geschlossen', 'video.remove': 'Löschen', 'video.remove.how': 'Die Spur löschen',
  'video.back.frame': 'Ein Bild zurück', 'video.forward': 'Ein Bild vor', 'video.play': 'Abspielen oder anhalten',
  'video.kind.detected': 'gefunden', 'video.kind.filled': 'ergänzt', 'video.kind.manual': 'von Hand',
  'video.keys': 'Pfeile: Bild · N: zweifelhaft · K: stimmt · X: ein oder aus · B: neues Rechteck · Alt+Pfeile: verschieben',
  'video.training': 'Als Trainingsdaten speichern', 'video.training.what': 'Rechtecke wie hier, ohne Bilder: schneiden Sie diese aus dem Original.',
  'video.nothing': 'Hier gibt es nichts zu ändern: wählen Sie ein anderes Bild oder eine andere Spur. Spuren im selben Bild lassen sich nicht verbinden.',
  'video.nodoubt': 'In dieser Richtung ist nichts mehr zweifelhaft.', 'video.where': 'Bild {at} von {all} · {clock}',
  'video.count': '{n} Spuren unkenntlich', 'video.count.one': '1 Spur unkenntlich', 'video.rendered': 'Fertig: das Video ist jetzt so unkenntlich gemacht.',
  'video.making': 'Dieser Browser kann diese Art von Video nicht abspielen. Eine Vorschau entsteht: {done} % …',
  'video.cannot': 'Dieser Browser kann diese Art von Video nicht abspielen. Spuren lassen sich hier schalten, verlängern und löschen, aber nicht ansehen.',
  'video.times': 'Diese Datei sagt nicht, wann jedes Bild gezeigt wird. Angenommen wird ein gleichmäßiger Abstand; ein Bild kann um eins daneben liegen.',
  'video.why.low': 'Bild {at}: {name} ist unsicher gefunden.', 'video.why.filled': 'Bild {at}: {name} ist ab hier ergänzt.',
  'video.why.gap': 'Bild {at}: {name} ist ab hier eine Weile sichtbar.', 'video.why.start': 'Bild {at}: {name} beginnt.', 'video.why.end': 'Bild {at}: {name} endet.',
  // review
  'review.sub': 'Fertige Dateien; oben stehen die, die zuerst anzusehen sind.', 'review.none': 'Nichts zu prüfen',
  'review.none.how': 'Fertige Fotos und Videos, die noch niemand freigegeben hat, stehen hier.', 
  'review.approve': 'Freigeben', 'review.approve.name': '{name} freigeben', 'review.all': 'Alle {n} freigeben', 'review.all.one': 'Freigeben',
  'review.approve.next': 'Freigeben, weiter', 'review.left': '{n} Dateien warten', 'review.left.one': '1 Datei wartet',
  'review.open': '{n} Spuren sind nicht entschieden', 'review.open.one': '1 Spur ist nicht entschieden', 'review.open.what': 'Trotzdem freigeben?',
  'review.all.sure': '{n} Dateien freigeben?', 'review.all.sure.one': '1 Datei freigeben?', 'review.all.what': 'Ihr Name bleibt bei jeder davon als der, der sie angesehen hat.',
  'review.eyes': 'von {n} der {all} Nötigen freigegeben: {who}', 'review.approved': '{n} freigegeben', 'review.name': 'Name', 'review.why': 'Warum ansehen', 'review.fine': 'Nichts zweifelhaft',
  'review.why.nothing': 'nichts gefunden', 'review.why.warnings': 'Hinweise', 'review.why.low': 'unsicher gefunden', 'review.why.filled': 'viel ergänzt', 'review.why.short': 'kurze Spuren',
  // jobs
  'jobs.all': 'Alle', 'jobs.search': 'Nach Namen suchen', 'jobs.name': 'Name', 'jobs.state': 'Stand', 'jobs.submitted': 'Eingereicht', 'jobs.actions': 'Aktionen',
  'jobs.more': 'Mehr zeigen', 'jobs.none': 'Noch keine Aufträge', 'jobs.none.how': 'Was Sie unkenntlich gemacht haben, steht hier, bis es gelöscht wird.', 'jobs.begin': 'Etwas unkenntlich machen',
  'jobs.nomatch': 'Keine solchen Aufträge', 'jobs.nomatch.how': 'Versuchen Sie einen anderen Namen oder Stand.', 'jobs.count': '{n} Aufträge', 'jobs.count.one': '1 Auftrag', 'jobs.fps': '{n} Bilder/s',
  'jobs.download': 'Herunterladen', 'jobs.download.name': '{name} herunterladen', 'jobs.cancel': 'Abbrechen', 'jobs.cancel.name': '{name} abbrechen',
  'jobs.retry': 'Noch einmal', 'jobs.retry.name': '{name} noch einmal versuchen', 'jobs.delete': 'Löschen', 'jobs.delete.name': '{name} löschen',
  'jobs.delete.sure': '{name} löschen?', 'jobs.delete.what': 'Original, Ergebnis und Bericht werden auf dem Server gelöscht.',
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
