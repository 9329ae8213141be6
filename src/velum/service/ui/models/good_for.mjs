// @ts-check
/** What models are good for, in languages other than that of the catalogue, which is English. */

/** @type {Record<string, Record<string, string>>} */
export const GOOD_FOR = {
  de: {
    'centerface': 'Gesichter in jeder Größe und Haltung, auch kleine in Mengen, in Fotos und Videos',
    'yunet': 'Gesichter, wo es schnell gehen muss: findet kleine so gut wie centerface, bei einem Drittel des Aufwands',
    'face-detection-adas-0001': 'Gesichter ab 16 Pixeln, in Räumen, auf Straßen und in Gruppen',
    'face-detection-retail-0004': 'Gesichter ab 12 Pixeln, auf schwachen Rechnern: das kleinste Modell für Gesichter',
    'person-detection-0201': 'ganze Menschen in Bildern von Überwachungskameras und Straßen',
    'vehicle-detection-0201': 'Autos, Busse und Lastwagen in Straßenbildern, unter einer Bezeichnung',
    'vehicle-license-plate-detection-barrier-0106': 'Fahrzeug und Kennzeichen vor einer Schranke; chinesische Kennzeichen; zwei von drei Kennzeichen einer Kamera im Auto',
    'lpd-yunet': 'Kennzeichen aus Europa, Brasilien, den USA und China, auch gedrehte',
    'lpd-yunet-2022': 'Kennzeichen, wie lpd-yunet, an dessen Stelle es tritt',
    'yolox-s': 'Menschen, Fahrzeuge und die übrigen Klassen von COCO, mit den genauesten Rechtecken dieser Modelle',
    'nanodet': 'Menschen, Fahrzeuge und die übrigen Klassen von COCO, schnell',
    'yolox-nano': 'ein kleines Netz, um es für Eigenes zu trainieren; Menschen, Fahrzeuge und die übrigen Klassen von COCO, schnell',
    'pp-humanseg': 'der Umriss eines oder weniger Menschen nahe der Kamera',
    'ppocr-det': 'Textzeilen in Szenen und Dokumenten, lateinisch und chinesisch, in jedem Winkel, ab 8 Pixeln Höhe',
  },
};
